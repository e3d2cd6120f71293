/** A registry and hospital A as processes, and houses of the same CA that speak to them over the wire: what `registry-wire` and `nation` load. */
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ports } from "../commands/demo/ports.ts";
import { type SiteProcess, startSiteProcess } from "../commands/demo/sites.ts";
import { initPki } from "../commands/pki/index.ts";
import { openRest, type Rest } from "../connectors/rest.ts";
import { pemToDer, readCertificate } from "../envelope/certificate.ts";
import { contentOf, open, seal } from "../envelope/index.ts";
import { signerFrom, unwrapperFrom } from "../envelope/keys.ts";
import { codeOf } from "../errors.ts";
import { commandMediaType } from "../formats/command.ts";
import { openProfile } from "./profiled.ts";
import { fresh } from "./subjects.ts";

const root = join(import.meta.dirname, "..");
const paths = {
  register: "/registry/submissions",
  query: "/registry/queries",
  retrieve: "/repository/retrievals",
} as const satisfies Record<Asks, string>;
const portNames = ["REGISTRY_PORT", "REGISTRY_ADMIN", "A_PORT", "A_ADMIN", "A_HIS", "A_PACS", "B_PORT"] as const;
const envelopeHeader = /^(mime-version|content-type|x-(semrs|eec)-)/i;

type Asks = "register" | "query" | "retrieve";

/** One house: asks over its own TLS connection, signs with its own key, and believes no answer that it has not verified to its end. */
export type Caller = {
  readonly org: string;
  /** Octets of part 1 of the answer. */
  ask(purpose: Asks, command: Uint8Array): Promise<Uint8Array>;
};

export type Nation = {
  readonly registry: SiteProcess;
  readonly callers: readonly Caller[];
  readonly env: Readonly<Record<string, string>>;
  readonly data: string;
  /** Profiles the registry's main thread until it is called; milliseconds by what they went to. */
  profile(): ReturnType<typeof openProfile>;
  stop(): Promise<void>;
};

/** So many houses beside hospital A; `isWhole`: hospital A is there, too. */
export async function openNation(count: number, isWhole = false): Promise<Nation> {
  const folder = fresh("nation");
  const pki = join(folder, "pki");
  const names = Array.from({ length: count }, (_, n) => `h${String(n + 1).padStart(3, "0")}`);
  await initPki(pki, ["registry", "hospital-a", "hospital-b", ...names], { now: new Date() });
  const chosen = await ports([...portNames, "INSPECTOR"]);
  const env = { PKI: pki, DATA: join(folder, "data"), ...chosen };
  const inspected = { ...env, NODE_OPTIONS: `--inspect=127.0.0.1:${chosen.INSPECTOR}` };
  const configured = (shipped: string): string => {
    const file = join(folder, shipped.replace("/", "-"));
    const others = names.map((name) => `  ${name}: { url: "https://127.0.0.1:9", certificates: "${pki}/${name}" }\n`);
    const yaml = readFileSync(join(root, shipped), "utf8").replace("\nsites:", `${others.join("")}\nsites:`);
    // Each house opens as many as it has requests at once, 16 at most.
    writeFileSync(file, yaml.replaceAll("\n    data:", `\n    limits: { connections: ${16 * count} }\n    data:`));
    return file;
  };
  const quiet = (): void => undefined;
  const sites = [await startSiteProcess("registry", configured("examples/registry.yaml"), inspected, quiet)];
  if (isWhole) sites.push(await startSiteProcess("hospital-a", configured("channels.yaml"), env, quiet));
  const rests: Rest[] = [];
  const callers = names.map((org) => callerOf(pki, org, chosen, rests));
  const [registry] = sites;
  if (!registry) throw new Error("there is no registry");
  return {
    registry,
    callers,
    env,
    data: env.DATA,
    profile: () => openProfile(chosen.INSPECTOR ?? ""),
    stop: async () => {
      for (const rest of rests) rest.close();
      for (const site of sites) await site.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

function callerOf(pki: string, org: string, env: Readonly<Record<string, string>>, rests: Rest[]): Caller {
  const text = (name: string): string => readFileSync(join(pki, name), "utf8");
  const der = (name: string): Uint8Array => pemToDer(text(name))[0] ?? new Uint8Array();
  const signer = signerFrom(text(`${org}/sign.key`), text(`${org}/sign.crt`));
  const unwrappers = [unwrapperFrom(text(`${org}/decrypt.key`), text(`${org}/decrypt.crt`))];
  const tls = { key: text(`${org}/tls.key`), certificate: text(`${org}/tls.crt`), ca: text("ca.crt") };
  const crls = pemToDer(text("ca.crl"), "X509 CRL");
  const trust = { anchors: pemToDer(text("ca.crt")), crls, revocation: "require" } as const;
  const owners = new Map(
    ["registry", "hospital-a"].map((each) => [readCertificate(der(`${each}/sign.crt`)).sha256, each] as const),
  );
  const partner = (sha256: string) => {
    const owner = owners.get(sha256);
    return owner ? { org: owner, profiles: ["semrs-2"] } : undefined;
  };
  const towards = (peer: string, port: string | undefined) => {
    const rest = openRest({ url: `https://127.0.0.1:${port}`, ...tls });
    rests.push(rest);
    return { peer, rest, to: [{ org: peer, certificate: der(`${peer}/decrypt.crt`) }] };
  };
  const registry = towards("registry", env.REGISTRY_PORT);
  const repository = towards("hospital-a", env.A_PORT);
  const { signal } = new AbortController();
  let asked = 0;
  const ask = async (purpose: Asks, command: Uint8Array, message: string): Promise<Uint8Array> => {
    const { peer, rest, to } = purpose === "retrieve" ? repository : registry;
    const content = [await contentOf(command, "command", commandMediaType)];
    const draft = { purpose, to, sender: org, messageType: purpose, message, content };
    const now = new Date();
    const sealed = await seal(draft, signer, now);
    const path = `/semrs/v1${paths[purpose]}`;
    const response = await rest.post(path, sealed.headers, sealed.body(), sealed.contentLength, signal);
    const headers = response.headers.filter(([name]) => envelopeHeader.test(name));
    const opened = await open(headers, response.body, {
      ...{ self: org, unwrappers, trust, now, partner, peer, hasSeen: () => false },
      purposes: ["receipt", "response"],
      reply: { inReplyTo: sealed.id, requestDigest: sealed.manifestSha256, from: peer },
    });
    let first: Uint8Array | undefined;
    for await (const part of opened.parts()) first ??= await part.bytes(16_000_000);
    return first ?? new Uint8Array();
  };
  return {
    org,
    ask: async (purpose, command) => {
      asked += 1;
      const message = Buffer.from(org).toString("hex") + asked.toString(16).padStart(24, "0");
      // A connection may be closed at the moment it is used: as a house does, once more under the same message.
      return await ask(purpose, command, message).catch((thrown: unknown) => {
        if (codeOf(thrown) !== "PEER_AMBIGUOUS") throw thrown;
        return ask(purpose, command, message);
      });
    },
  };
}
