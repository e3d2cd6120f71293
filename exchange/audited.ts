/** What a resource refused, in the audit log: the cause stays here, whatever the peer is told. */
import type { VerifiedSender } from "../envelope/index.ts";
import { codeOf, consequenceOf, type ErrorCode } from "../errors.ts";
import type { Exchange, Resource } from "./server.ts";

/** A refusal is told to the peer even where it cannot be written down. */
export async function auditRefusal(
  { station, event }: Resource,
  { store, log }: Exchange,
  { code, ...told }: { readonly peer: string; readonly code: ErrorCode; readonly reason: string },
  sender: VerifiedSender | undefined,
): Promise<void> {
  const outcome = consequenceOf(code).retry ? "failed" : "refused";
  const of = { subject: sender?.manifest.message ?? null, manifest: sender?.manifestSha256 ?? null };
  await store
    .commit(store.audit.add({ event, outcome, code, ...told, ...of }))
    .catch((thrown: unknown) => log(`${station}.unaudited`, { code: codeOf(thrown) }, "error"));
}
