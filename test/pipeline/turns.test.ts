/** What is queued and was not tried says what it waits for: an earlier one of its patient, a person, or others to the same place. */
import { expect, test } from "vitest";
import { traceLines } from "../../commands/journal/trace.ts";
import { listJournal } from "../../pipeline/journal.ts";
import { saysTurn } from "../../pipeline/turns.ts";
import { delivery, freshStore, store } from "../store/fresh.ts";

freshStore();

test("the journal says of each that is queued what it waits for", async () => {
  const his = { kind: "message", destination: "his", channel: "c", due: 1_000 } as const;
  const first = delivery({ ...his, order: "p", code: "PEER_BUSY", reason: "the system answered AR" });
  const second = delivery({ ...his, order: "p" });
  const third = delivery({ ...his, order: "p" });
  const others = delivery({ ...his, order: "q" });
  const later = delivery({ ...his, due: 9_000 });
  const paused = delivery({ ...his, destination: "pacs" });
  await store.commit([first, second, third, others, later, paused].map(store.deliveries.add));
  const stopped = { paused: (kind: string) => (kind === "system" ? ["pacs"] : []) };
  const told = saysTurn({ store, stopped }, listJournal(store, { limit: 9 }).deliveries, 5_000);
  expect(told.map(({ reason }) => reason)).toEqual([
    "the system answered AR",
    `waits for ${first.id.slice(-8)}, which goes first: they keep their order`,
    `waits for ${first.id.slice(-8)}, which goes first: they keep their order`,
    "due; others to his go first",
    null,
    "paused, or its channel is: semrs status",
  ]);
  const empty = { arrivals: [], documents: [], instances: {}, records: [], steps: [] };
  const lines = traceLines({ ...empty, deliveries: told });
  expect(lines[1]).toMatch(
    new RegExp(`^now: message → his queued after 0 attempts, waits for ${first.id.slice(-8)}, `),
  );
  expect(lines[4]).toMatch(/^now: message → his queued after 0 attempts, next 1970-01-01T00:00:09.000Z$/);
});
