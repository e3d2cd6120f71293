/** One decision about all deliveries that were parked for one reason: a HIS that said no for two hours leaves thousands of them. */
import { codeOf, Fault, reasonOf } from "../../errors.ts";
import type { AdminClient } from "../admin-client.ts";
import { print, say } from "../exit.ts";
import { type Listed, short } from "./list.ts";

type Verb = "release" | "discard";
export type ManyOptions = {
  readonly parked?: boolean;
  readonly code?: string;
  readonly to?: string;
  readonly reason?: string;
  readonly json?: boolean;
};

/** Whose a record is, is decided of each by itself. */
const isDecidedAlone = (kind: string): boolean => kind === "identify";
const pageSize = 1000;
const toldEvery = 500;

/** Those that are parked now, oldest first; what somebody else has decided meanwhile is told and passed over. */
export async function decideMany(admin: AdminClient, verb: Verb, options: ManyOptions): Promise<void> {
  const { code, to, reason, json } = options;
  if (!code)
    throw new Fault("QUERY_INVALID", "--parked needs --code: what they were parked for, as semrs journal list says");
  const counts = { done: 0, failed: 0, alone: 0 };
  for (let after: string | undefined; ; ) {
    const page = await admin.get<Listed>(`/journal?state=parked&limit=${pageSize}${after ? `&after=${after}` : ""}`);
    for (const { id, kind, destination, ...parked } of page.deliveries) {
      if (parked.code !== code || (to !== undefined && destination !== to)) continue;
      if (isDecidedAlone(kind)) counts.alone += 1;
      else await decide(id);
    }
    after = page.deliveries.at(-1)?.id;
    if (page.deliveries.length < pageSize || after === undefined) break;
  }
  if (json) print(JSON.stringify(counts));
  else print(`${counts.done} ${verb === "release" ? "released" : "discarded"}, ${counts.failed} not`);
  if (counts.alone > 0)
    say(`${counts.alone} that ask whose record it is are left: each is decided by its id, semrs journal list --held`);
  if (counts.failed > 0) throw new Fault("STORE_CONFLICT", `${counts.failed} were not ${verb}d; each is told above`);

  async function decide(id: string): Promise<void> {
    try {
      await admin.post(`/journal/${id}/${verb}`, { reason });
      counts.done += 1;
      if (counts.done % toldEvery === 0) say(`${counts.done} so far`);
    } catch (thrown) {
      // The site has gone: all others would fail as this one.
      if (codeOf(thrown) === "PEER_UNREACHABLE") throw thrown;
      counts.failed += 1;
      say(`${short(id)}: ${reasonOf(thrown)}`);
    }
  }
}
