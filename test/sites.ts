/** Three real sites in this process, on free ports and fresh folders, with the demo's HIS B and PACS B behind hospital B. */
import { createHash } from "node:crypto";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type AdminClient, openAdminClient } from "../commands/admin-client.ts";
import { ports } from "../commands/demo/ports.ts";
import { type Receivers, startReceivers } from "../commands/demo/receivers.ts";
import { portNames } from "../commands/demo/sites.ts";
import { initAuthority } from "../commands/pki/authority.ts";
import { initPki } from "../commands/pki/index.ts";
import { type Started, startSite } from "../commands/start-site.ts";
import type { Item, Outcome } from "../connectors/connector.ts";
import { dicomDestination } from "../connectors/dicom/scu.ts";
import { mllpDestination } from "../connectors/mllp/index.ts";
import { readMeta } from "../formats/dicom.ts";
import { readMsh } from "../formats/hl7.ts";
import type { Level, LogFields } from "../log.ts";
import { loadConfig } from "../pipeline/config.ts";
import { dicomItem } from "./fixtures/dicom-item.ts";

export type SiteName = "registry" | "hospital-a" | "hospital-b";
export type LoggedLine = {
  readonly site: string;
  readonly event: string;
  readonly fields: LogFields;
  readonly level: Level;
};

export type TestExchange = {
  readonly folder: string;
  readonly env: Readonly<Record<string, string>>;
  readonly receivers: Receivers;
  readonly log: LoggedLine[];
  admin(site: SiteName): AdminClient;
  start(site: SiteName): Promise<void>;
  stop(site: SiteName): Promise<void>;
  /** What hospital A's (or B's) MLLP listener answers to a message. */
  message(bytes: Uint8Array, to?: "A_HIS" | "B_ADT"): Promise<Outcome>;
  /** What hospital A's DICOM listener answers to each instance. */
  instances(files: readonly Uint8Array[]): Promise<ReadonlyMap<string, Outcome>>;
  /** Resolves once hospital A has registered so many records. */
  registered(count: number): Promise<void>;
  /** SHA-256 of every document that HIS B holds. */
  documentsAtB(): ReadonlySet<string>;
  /** The messages that HIS B holds, once it holds so many: it keeps a message's documents first. */
  messagesAtB(count: number): Promise<readonly Buffer[]>;
  /** SHA-256 of the data set of every instance that PACS B holds, by SOP Instance UID. */
  instancesAtB(): ReadonlyMap<string, string>;
  close(): Promise<void>;
};

const adminPorts: Readonly<Record<SiteName, string>> = {
  registry: "REGISTRY_ADMIN",
  "hospital-a": "A_ADMIN",
  "hospital-b": "B_ADMIN",
};
const root = join(import.meta.dirname, "..");
const signal = new AbortController().signal;
const context = { log: () => undefined, signal };

/**
 * One PKI serves all exchanges of a test file: making it anew would only cost time. `legacy`: the hospitals have keys of semrs-2017,
 * too. The authority outlives the houses' certificates.
 */
export async function testPki({ legacy = false } = {}): Promise<string> {
  const folder = join(mkdtempSync(join(tmpdir(), "semrs-pki-")), "pki");
  mkdirSync(folder);
  initAuthority(folder, new Date());
  await initPki(folder, ["registry"], { now: new Date() });
  await initPki(folder, ["hospital-a", "hospital-b"], { now: new Date(), legacy });
  return folder;
}

const asShipped = (yaml: string): string => yaml;
const all: readonly SiteName[] = ["registry", "hospital-a", "hospital-b"];

/** Hospital A alone: for what goes no further. */
export const openHospitalA = (pki: string, settings = {}, edit = asShipped): Promise<TestExchange> =>
  openExchange(pki, settings, edit, ["hospital-a"]);

/** `edit` changes the shipped channels.yaml first; `sites` are started. */
export async function openExchange(
  pki: string,
  settings: Readonly<Record<string, string>> = {},
  edit: (yaml: string) => string = asShipped,
  sites = all,
): Promise<TestExchange> {
  const folder = mkdtempSync(join(tmpdir(), "semrs-sites-"));
  const receivers = await startReceivers(join(folder, "receivers"), signal);
  const env: Record<string, string> = {
    PKI: pki,
    DATA: join(folder, "data"),
    QUIET: "300ms",
    EVERY: "1ms",
    AGAIN_1: "300ms",
    AGAIN_2: "1s",
    AGAIN_3: "2s",
    B_HIS: portOf(receivers.his.address),
    B_PACS: portOf(receivers.pacs.address),
    ...(await ports(portNames)),
    ...settings,
  };
  const log: LoggedLine[] = [];
  const running = new Map<SiteName, Started>();
  const exchange: TestExchange = {
    folder,
    env,
    receivers,
    log,
    admin: (site) => openAdminClient(`http://127.0.0.1:${env[adminPorts[site]]}`, join(folder, "data", site)),
    start: async (site) => {
      const shipped = join(root, site === "registry" ? "examples/registry.yaml" : "channels.yaml");
      const file = join(folder, `${site}.yaml`);
      writeFileSync(file, site === "registry" ? readFileSync(shipped, "utf8") : edit(readFileSync(shipped, "utf8")));
      const config = loadConfig(file, { ...env, SITE: site });
      running.set(
        site,
        await startSite(config, (event, fields = {}, level = "info") => void log.push({ site, event, fields, level })),
      );
    },
    stop: async (site) => {
      await running.get(site)?.stop();
      running.delete(site);
    },
    message: async (bytes, to = "A_HIS") => {
      const options = mllpDestination.options.parse({ host: "127.0.0.1", port: Number(env[to]) });
      const item: Item = { controlId: readMsh(bytes).controlId, size: bytes.length, body: () => one(bytes) };
      let outcome: Outcome = { state: "ambiguous", reason: "nothing was reported" };
      await mllpDestination.send(options, one(item), (_item, said) => (outcome = said), context);
      return outcome;
    },
    instances: async (files) => {
      const options = dicomDestination.options.parse({
        host: "127.0.0.1",
        port: Number(env.A_PACS),
        callingAeTitle: "PACS_A",
        calledAeTitle: "SEMRS_A",
      });
      const outcomes = new Map<string, Outcome>();
      await dicomDestination.send(
        options,
        each(files.map((bytes) => dicomItem(bytes))),
        (item, said) => outcomes.set(item.controlId, said),
        context,
      );
      return outcomes;
    },
    registered: (count) =>
      until(`${count} records registered`, async () => {
        const { records } = await exchange.admin("hospital-a").get<{ records: Record<string, number> }>("/counts");
        return (records.registered ?? 0) >= count;
      }),
    documentsAtB: () =>
      new Set(
        files(receivers.his.folder, ".cda").map((name) => sha256(readFileSync(join(receivers.his.folder, name)))),
      ),
    messagesAtB: async (count) => {
      const kept = () => files(receivers.his.folder, ".hl7");
      await until(`${count} messages at HIS B`, () => kept().length >= count);
      return kept().map((name) => readFileSync(join(receivers.his.folder, name)));
    },
    instancesAtB: () =>
      new Map(
        files(receivers.pacs.folder, ".dcm").map((name) => [
          name.slice(0, -4),
          dataSetSha256(readFileSync(join(receivers.pacs.folder, name))),
        ]),
      ),
    close: async () => {
      for (const site of ["hospital-a", "hospital-b", "registry"] as const) await exchange.stop(site);
      await receivers.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
  const starts = await Promise.allSettled(sites.map(exchange.start));
  const failed = starts.find((each) => each.status === "rejected");
  if (!failed) return exchange;
  await exchange.close();
  throw failed.reason;
}

/** Polls until the condition holds; fails with what was waited for. */
export async function until(what: string, condition: () => boolean | Promise<boolean>, ms = 20_000): Promise<void> {
  const end = Date.now() + ms;
  while (!(await condition())) {
    if (Date.now() > end) throw new Error(`waited ${ms} ms in vain: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

export const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");

/** The File Meta Information is the sender's business (PS3.10 7.1); the data set is what must be equal. */
export const dataSetSha256 = (file: Uint8Array): string => sha256(file.subarray(readMeta(file).offset));

const files = (folder: string, extension: string): readonly string[] =>
  readdirSync(folder).filter((name) => !name.startsWith(".") && name.endsWith(extension));

const portOf = (address: string): string => address.slice(address.lastIndexOf(":") + 1);

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}

async function* each<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}
