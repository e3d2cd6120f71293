/** Speaks to a site's admin port with the token that lies in its data folder. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { Fault } from "../errors.ts";

export type AdminClient = {
  get<T>(path: string): Promise<T>;
  post<T>(path: string, body: unknown): Promise<T>;
  /** The value of one metric line, summed over all labels that match. */
  metric(name: string, labels?: Readonly<Record<string, string>>): Promise<number>;
};

const timeoutMs = 10_000;

/** `data` is the site's data folder, where the token is. */
export function openAdminClient(url: string, data: string): AdminClient {
  const ask = async (path: string, init: RequestInit): Promise<Response> => {
    const token = readFileSync(join(data, "admin.token"), "utf8").trim();
    const headers = { authorization: `Bearer ${token}`, "content-type": "application/json" };
    return await fetch(`${url}${path}`, { ...init, headers, signal: AbortSignal.timeout(timeoutMs) }).catch(
      (cause: unknown) => {
        throw new Fault("PEER_UNREACHABLE", `no site answers at ${url}; is it running?`, { cause });
      },
    );
  };
  const json = async <T>(response: Response): Promise<T> => {
    const body = (await response.json()) as T & { reason?: string };
    if (!response.ok) throw new Fault("PEER_REFUSED", `${url} answered ${response.status}: ${body.reason ?? ""}`);
    return body;
  };
  return {
    get: async (path) => await json(await ask(path, {})),
    post: async (path, body) => await json(await ask(path, { method: "POST", body: JSON.stringify(body) })),
    metric: async (name, labels = {}) => {
      const text = await (await ask("/metrics", {})).text();
      const wanted = Object.entries(labels).map(([key, value]) => `${key}="${value}"`);
      const lines = text
        .split("\n")
        .filter((line) => line.startsWith(`${name}{`) && wanted.every((label) => line.includes(label)));
      return lines.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" ") + 1)), 0);
    },
  };
}
