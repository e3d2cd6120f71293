/** What a resource refused, in the audit log: the cause stays here, whatever the peer is told. */
import type { VerifiedSender } from "../envelope/index.ts";
import { codeOf, consequenceOf, type ErrorCode } from "../errors.ts";
import type { Exchange, Resource } from "./server.ts";

/** Refusals that anybody can have as often as they like: lines of the log, and no entries of what is kept for good. */
const isPassing = (code: ErrorCode, sender: VerifiedSender | undefined): boolean =>
  code === "STORE_FULL" || ((code === "PEER_BUSY" || code === "PEER_UNREACHABLE") && !sender);

/** A refusal of a partner; it is told even where it cannot be written down. */
export async function auditRefusal(
  { station, event }: Resource,
  { store, log }: Exchange,
  { code, ...told }: { readonly peer: string; readonly code: ErrorCode; readonly reason: string },
  sender: VerifiedSender | undefined,
): Promise<void> {
  if (isPassing(code, sender)) return;
  const outcome = consequenceOf(code).retry ? "failed" : "refused";
  const of = { subject: sender?.manifest.message ?? null, manifest: sender?.manifestSha256 ?? null };
  await store
    .commit(store.audit.add({ event, outcome, code, ...told, ...of }))
    .catch((thrown: unknown) => log(`${station}.unaudited`, { code: codeOf(thrown) }, "error"));
}
