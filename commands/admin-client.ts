/** A program that asks a site on its admin port: the token is read from the data folder. */
import { readFileSync } from "node:fs";
import { isIPv6 } from "node:net";
import { join } from "node:path";
import { type ErrorCode, errorCodes, Fault } from "../errors.ts";
import { type Address, loadConfig } from "../pipeline/config.ts";
import type { Check } from "../pipeline/readiness.ts";

export type AdminClient = {
  /** `ms`: how long it may take, ten seconds unless said; 0: as long as it takes. */
  get<T>(path: string, ms?: number): Promise<T>;
  post<T>(path: string, body: unknown, ms?: number): Promise<T>;
  /** The octets that a POST answers with. */
  download(path: string, body: unknown): Promise<AsyncIterable<Uint8Array>>;
  /** The value of one metric line, summed over all labels that match. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
};

const timeoutMs = 10_000;

/** Where a site's admin port is: said outright, or found in the configuration. */
export type Where = { readonly config: string; readonly admin?: string; readonly data?: string };

/** Of the admin port: an address of IPv6 stands in brackets (RFC 3986 3.2.2). */
export const adminUrl = ({ host, port }: Address): string => `http://${isIPv6(host) ? `[${host}]` : host}:${port}`;

/** The admin port and data folder of the site that the configuration names, unless both are said. */
export function adminOf({ config, admin, data }: Where): AdminClient {
  if (admin && data) return openAdminClient(admin, data);
  const { own } = loadConfig(config, process.env);
  return openAdminClient(admin ?? adminUrl(own.admin), data ?? own.data);
}

/** `data` is the site's data folder, where the token is. */
export function openAdminClient(url: string, data: string): AdminClient {
  const absent = (cause: unknown): never => {
    throw new Fault("PEER_UNREACHABLE", `no site answers at ${url}; is it running?`, { cause });
  };
  // Another program, or a site that ends while it answers.
  const broken = (cause?: unknown): never => {
    throw new Fault("PEER_UNREACHABLE", `${url} gave no whole answer of a site; is it one, and still running?`, {
      cause,
    });
  };
  let isKnown = false;
  /** The token, and whom a question is about, are for a site alone. */
  const isAnswering = async (): Promise<void> => {
    if (isKnown) return;
    isKnown = await isSite(url, timeoutMs).catch(absent);
    if (!isKnown) broken();
  };
  const ask = async (path: string, init: RequestInit, ms?: number): Promise<Response> => {
    // An unset variable of a script: its address would be another one.
    if (/\/(\/|\?|$)/.test(path)) throw new Fault("QUERY_INVALID", "an empty name or id was given");
    const headers = { authorization: `Bearer ${tokenIn(data)}`, "content-type": "application/json" };
    await isAnswering();
    const send = (): Promise<Response> =>
      fetch(`${url}${path}`, {
        ...init,
        headers,
        redirect: "manual",
        ...(ms ? { signal: AbortSignal.timeout(ms) } : {}),
      });
    // A kept connection may be closed by the site at the moment it is used: what only asks is asked again.
    const again = init.method === undefined ? send : Promise.reject.bind(Promise);
    return await send()
      .catch((thrown: unknown) => again(thrown))
      .catch(absent);
  };
  const checked = async (asked: Promise<Response>): Promise<Response> => {
    const response = await asked;
    if (response.ok) return response;
    const { code, reason } = (await response.json().catch(() => ({}))) as { code?: string; reason?: string };
    const known = (errorCodes as readonly string[]).includes(code ?? "") ? (code as ErrorCode) : "PEER_REFUSED";
    throw new Fault(known, reason ?? `${url} answered ${response.status}`);
  };
  const post = (path: string, body: unknown, ms?: number): Promise<Response> =>
    checked(ask(path, { method: "POST", body: JSON.stringify(body) }, ms));
  async function* whole(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
    try {
      yield* body;
    } catch (thrown) {
      broken(thrown);
    }
  }
  return {
    get: async <T>(path: string, ms = timeoutMs) =>
      (await (await checked(ask(path, {}, ms))).json().catch(broken)) as T,
    post: async <T>(path: string, body: unknown, ms = timeoutMs) =>
      (await (await post(path, body, ms)).json().catch(broken)) as T,
    // A payload, or a look at everything, takes as long as it takes.
    download: async (path, body) => whole((await post(path, body)).body ?? new ReadableStream<Uint8Array>()),
    metric: async (name, labels = {}) => {
      const text = await (await ask("/metrics", {}, timeoutMs)).text().catch(broken);
      const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
      const lines = text
        .split("\n")
        .filter((line) => line.startsWith(`${name}{`) && wanted.every((label) => line.includes(label)));
      return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
    },
  };
}

/** Longer than what a site says there. */
const maxLiveBytes = 256;

/** Whether what listens there is a site, of any version; rejects where nothing answers. */
async function isSite(url: string, ms: number): Promise<boolean> {
  const { body } = await fetch(`${url}/health/live`, { redirect: "manual", signal: AbortSignal.timeout(ms) });
  let said = "";
  try {
    for await (const piece of body ?? []) {
      said += Buffer.from(piece).toString("latin1");
      if (said.length > maxLiveBytes) return false;
    }
  } catch {
    return false;
  }
  return /^\{"live":true[,}]/.test(said);
}

/** What the site that listens there says of itself; undefined where none does. */
export async function readinessAt(address: Address, ms: number): Promise<readonly Check[] | undefined> {
  const url = adminUrl(address);
  try {
    if (!(await isSite(url, ms))) return undefined;
    const response = await fetch(`${url}/health/ready`, { signal: AbortSignal.timeout(ms) });
    return ((await response.json()) as { readonly checks: readonly Check[] }).checks;
  } catch {
    return undefined;
  }
}

function tokenIn(data: string): string {
  const file = join(data, "admin.token");
  try {
    return readFileSync(file, "utf8").trim();
  } catch (cause) {
    const isMissing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    const what = isMissing
      ? "is not there; the site makes it at its first start"
      : "cannot be read; ask as the user that the site runs as";
    throw new Fault("PEER_UNREACHABLE", `${file} ${what}`, { cause });
  }
}
