/** The houses of a test: every site of the file on free ports with fresh data, real partners beside them, and their systems. */
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../../errors.ts";
import type { LogFields } from "../../log.ts";
import { type Channel, type Config, loadConfig, readConfig, type System } from "../../pipeline/config.ts";
import type { Site } from "../../pipeline/site.ts";
import { ports } from "../demo/ports.ts";
import { type Started, startSite } from "../start-site.ts";
import { type Receiver, startReceivers } from "./receivers.ts";
import type { TestFile } from "./schema.ts";

export type House = { readonly config: Config; readonly started: Started };
export type Houses = {
  readonly folder: string;
  readonly houses: ReadonlyMap<string, House>;
  /** What `site/system` received. */
  readonly receivers: ReadonlyMap<string, Receiver>;
  /** Log lines of all sites. */
  readonly log: readonly { readonly site: string; readonly event: string; readonly fields: LogFields }[];
  close(): Promise<void>;
};

/** A configuration for each site of the file; CONFIG_INVALID with everything that is wrong. */
export function configsOf(file: string, { environment }: TestFile): readonly Config[] {
  const env = { ...process.env, ...environment };
  const { sites } = readConfig(file, { SITE: "unset", ...env });
  if (sites.length === 0) loadConfig(file, env);
  const configs = sites.map((SITE) => loadConfig(file, { ...env, SITE }));
  // A file that names its site outright is one house, however many it describes.
  return [...new Map(configs.map((config) => [config.site, config])).values()];
}

/** Starts everything; `pki` has keys for all names. A port that another process took after it was found free is another one next time. */
export async function openHouses(...what: Parameters<typeof open>): Promise<Houses> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await open(...what);
    } catch (thrown) {
      const isTaken = thrown instanceof Fault && thrown.message.includes("cannot be listened on");
      if (!isTaken || attempt === maxAttempts) throw thrown;
    }
  }
}

const maxAttempts = 3;

async function open(
  configs: readonly Config[],
  pki: string,
  folder: string,
  times: TestFile["times"],
  documentAt?: Site["documentAt"],
): Promise<Houses> {
  const names = housesOf(configs);
  const port = await ports(names.flatMap((name) => [`${name} rest`, `${name} admin`]));
  const place = (name: string, what: "rest" | "admin") => ({
    host: "127.0.0.1",
    port: Number(port[`${name} ${what}`]),
  });
  const all = names.map((name) => configs.find(({ site }) => site === name) ?? partner(name, configs, folder));
  const { receivers: taking, addresses, stop } = await startReceivers(all);
  // What a partner that the file does not describe is delivered is not looked at.
  const isOurs = ([system]: readonly [string, Receiver]): boolean =>
    configs.some(({ site }) => system.startsWith(`${site}/`));
  const receivers = new Map([...taking].filter(isOurs));
  const log: { site: string; event: string; fields: LogFields }[] = [];
  const houses = new Map<string, House>();
  const close = async (): Promise<void> => {
    for (const { started } of houses.values()) await started.stop();
    await stop();
  };
  try {
    for (const written of all) {
      const name = written.site;
      const config = relocated(written, { pki, folder, times, place, addresses });
      const tell = (event: string, fields: LogFields = {}): void => void log.push({ site: name, event, fields });
      const started = await startSite(config, tell, documentAt);
      houses.set(name, { config, started });
    }
  } catch (thrown) {
    await close();
    throw thrown;
  }
  return { folder, houses, receivers, log, close };
}

/** Sites and partners: everybody that somebody may have to reach. */
export const housesOf = (configs: readonly Config[]): readonly string[] => [
  ...new Set(configs.flatMap(({ site, partners }) => [site, ...Object.keys(partners)])),
];

/** A partner that the file does not describe: a real registry, or a real house that keeps what is pushed to it. */
function partner(name: string, configs: readonly Config[], folder: string): Config {
  const isRegistry = configs.some(({ registryPartner }) => registryPartner === name);
  const others = housesOf(configs).filter((each) => each !== name);
  const at = "127.0.0.1:0";
  const site = isRegistry
    ? { data: "data", admin: { listen: at }, registry: { listen: at } }
    : {
        data: "data",
        admin: { listen: at },
        repository: { listen: at },
        run: ["incoming"],
        systems: { pacs: { dicom: { connect: "127.0.0.1:1", aeTitle: "SEMRS", calledAeTitle: "PACS" } } },
      };
  const incoming = {
    fetch: { when: [{ push: others }], rules: [] },
    deliver: [{ to: "pacs", identity: "original", because: "a test" }],
  };
  // It speaks with each house as that house does with it.
  const spoken = (other: string) => {
    const { profiles, allowLegacy, transport } = configs.find(({ site }) => site === other)?.partners[name] ?? {};
    return { url: "https://127.0.0.1:1", certificates: ".", profiles, allowLegacy, transport };
  };
  const file = {
    site: name,
    partners: Object.fromEntries(others.map((other) => [other, spoken(other)])),
    sites: { [name]: site },
    channels: isRegistry ? {} : { incoming },
  };
  mkdirSync(folder, { recursive: true });
  const path = join(folder, `${name}.yaml`);
  writeFileSync(path, JSON.stringify(file));
  return loadConfig(path, {});
}

type Plan = {
  readonly pki: string;
  readonly folder: string;
  readonly times: TestFile["times"];
  place(name: string, what: "rest" | "admin"): { host: string; port: number };
  /** Where the receiver of `site/system` listens. */
  readonly addresses: ReadonlyMap<string, { host: string; port: number }>;
};

/** The same channels with other addresses, keys and waiting times. */
function relocated(config: Config, { pki, folder, times, place, addresses }: Plan): Config {
  const { site, own } = config;
  const partners = Object.entries(config.partners).map(([name, { window: _always, ...each }]) => {
    const { host, port } = place(name, "rest");
    return [name, { ...each, url: `https://${host}:${port}`, certificates: join(pki, name) }] as const;
  });
  const systems = Object.entries(own.systems).map(([name, system]) => {
    const files = join(folder, "incoming", site, name);
    return [name, moved(system, files, addresses.get(`${site}/${name}`))] as const;
  });
  return {
    ...config,
    partners: Object.fromEntries(partners),
    trust: { ...config.trust, anchors: [join(pki, "ca.crt")], crls: [join(pki, "ca.crl")] },
    delivery: { ...config.delivery, retry: { ...config.delivery.retry, first: times.retry } },
    own: {
      ...own,
      keys: join(pki, site),
      data: join(folder, "data", site),
      alerts: undefined,
      admin: place(site, "admin"),
      repository: own.repository && place(site, "rest"),
      registry: own.registry && place(site, "rest"),
      systems: Object.fromEntries(systems),
      channels: own.channels.map((channel) => hurried(channel, times)),
    },
  };
}

/**
 * Free ports on this machine, clear and without commit bytes; callers are known by their AE title alone; what lies in a watched
 * folder is not a test's to take.
 */
function moved(
  { mllp, dicom, directory }: System,
  files: string,
  receiver: { host: string; port: number } | undefined,
): System {
  if (directory) mkdirSync(files, { recursive: true });
  const free = { host: "127.0.0.1", port: 0 };
  const reached = (connect: unknown) => {
    if (!connect) return undefined;
    if (!receiver) throw new Fault("CONFIG_INVALID", "a system with connect has no receiver");
    return receiver;
  };
  return {
    mllp: mllp && {
      ...mllp,
      release: 1,
      listen: mllp.listen && free,
      connect: reached(mllp.connect),
      standby: [],
      references: mllp.references.map((each) => ({ ...each, trust: [] })),
      tls: undefined,
    },
    dicom: dicom && {
      ...dicom,
      listen: dicom.listen && free,
      connect: reached(dicom.connect),
      callers: dicom.callers.map(({ aeTitle }) => ({ aeTitle })),
      tls: undefined,
    },
    directory: directory && { ...directory, path: files },
  };
}

function hurried(channel: Channel, { quiet, wait, again }: TestFile["times"]): Channel {
  if (channel.kind === "outbound") {
    const { assemble } = channel;
    if (!assemble) return channel;
    // No PACS of the house is asked for anything by a test.
    const study = { ...assemble.study, quiet, wait, expect: undefined, pull: undefined };
    return { ...channel, assemble: { ...assemble, study } };
  }
  const when = channel.fetch.when.map((each) => ("admission" in each ? { ...each, again: [...again] } : each));
  return { ...channel, fetch: { ...channel.fetch, when } };
}
