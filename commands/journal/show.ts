/** What is known of one message, without its content. */
import { columns } from "../exit.ts";
import type { Traced } from "./trace.ts";

export const showLines = ({ arrivals, documents, instances, records, deliveries }: Traced): readonly string[] => [
  ...arrivals.flatMap(({ id, source, controlId, state, code, reason, receivedAt }) =>
    block("arrival", { id, source, "control id": controlId, received: receivedAt, state, code, reason }),
  ),
  ...documents.flatMap(({ id, channel, form, bytes, sha256, state, since, code, reason, retention }) =>
    block("document", {
      ...{ id, channel, form, octets: String(bytes), sha256, state, since, code, reason },
      retention: retention ? "its retention is over: it has no octets any more" : null,
    }),
  ),
  ...Object.entries(instances).flatMap(([state, count]) => block("instances", { [state]: String(count) })),
  ...records.flatMap(({ id, channel, author, parts, state, code, manifestSha256, receipts }) =>
    block("record", {
      id,
      channel,
      author,
      parts: String(parts),
      state,
      code,
      manifest: manifestSha256,
      receipts: receipts.map(({ kind, from }) => `${kind} by ${from}`).join(", "),
    }),
  ),
  ...deliveries.flatMap(({ id, kind, destination, state, attempts, due, code, reason }) =>
    block(`delivery ${kind}`, { id, to: destination, state, attempts: String(attempts), due, code, reason }),
  ),
];

function block(title: string, fields: Readonly<Record<string, string | null>>): readonly string[] {
  const rows = Object.entries(fields).flatMap(([name, value]) => (value ? [[`  ${name}`, value]] : []));
  return [title, ...columns(rows)];
}
