/** A journal whose every answer is known: searched by each key, and in pages. */
import type { AdminClient } from "../../commands/admin-client.ts";
import type { Searched, SearchPage } from "../../pipeline/search.ts";
import type { Change, Id } from "../../store/store.ts";
import type { Past } from "../filled-house.ts";
import type { Done } from "../harness.ts";

const patients = 50_000;
const orders = 200_000;
/** Every so many arrivals are of one more patient, who has been here very often. */
const often = 50;
/** Every so many are refused; so few are filtered, of the patient who has been here often. */
const refused = 20;
const filtered = 250_000;
/** A record of so many instances, each an arrival, in the middle. */
const instances = 10_000;
const page = 100;
const everyMs = 60_000;
const first = Date.now() - 1_100_000 * everyMs;
const study: Id = "f".repeat(32);

const timeOf = (n: number): Date => new Date(first + n * everyMs);

/** Arrival n has control id Cn; a minute lies between two of them. */
export function* journalOf({ tables, newId }: Past, count: number): Generator<readonly Change[]> {
  const { arrivals, items, tokens } = tables;
  const of = tokens.of("patient", "", "OFTEN");
  for (let n = 0; n < count; n += 1) {
    const at = timeOf(n);
    const [id, item, receivedAt] = [newId(at), newId(at), at.toISOString()];
    const patient = tokens.of("patient", "", `P${n % patients}`);
    const isOfStudy = n >= count / 2 && n < count / 2 + instances;
    yield [
      arrivals.add({
        ...{ id, source: "his", channel: "documents", mediaType: "application/hl7-v2", controlId: `C${n}` },
        ...{
          sender: "127.0.0.1:1",
          repetition: null,
          digest: id,
          blob: null,
          state: stateOf(n),
          code: null,
          reason: null,
        },
        ...{ receivedAt, facts: null },
      }),
      ...items.add({
        ...{ id: item, kind: "document", arrival: id, channel: "documents", key: id, digest: id, blob: "" },
        ...{ patients: n % often === 0 ? [patient, of] : [patient], state: "discarded", code: null, reason: null },
        ...{ since: receivedAt, record: isOfStudy ? study : id, facts: null },
        joins: [`accession:${tokens.of("reference", "accession", `O${n % orders}`)}`],
      }),
    ];
  }
}

const stateOf = (n: number) => (n % filtered === often ? "filtered" : n % refused === 0 ? "refused" : "done");

/** What is asked about arrival n of so many, and the numbers of those that are its first two pages. */
type Question = (n: number, count: number) => { readonly asked: Partial<Searched>; readonly wanted: readonly number[] };

/** Numbers below `end` that leave `n` when divided by `step`, newest first. */
function below(end: number, n: number, step: number): readonly number[] {
  const most = Math.ceil((end - n) / step);
  return Array.from({ length: Math.min(2 * page, most) }, (_, k) => n + (most - 1 - k) * step);
}

const questions: Readonly<Record<string, Question>> = {
  "control id": (n) => ({ asked: { controlId: `C${n}` }, wanted: [n] }),
  patient: (n, count) => ({ asked: { patient: `P${n % patients}` }, wanted: below(count, n % patients, patients) }),
  accession: (n, count) => ({ asked: { accession: `O${n % orders}` }, wanted: below(count, n % orders, orders) }),
  envelope: (_, count) => ({
    asked: { envelope: study },
    wanted: below(count / 2 + instances, 0, 1).slice(0, page),
  }),
  state: (_, count) => ({ asked: { state: "refused" }, wanted: below(count, 0, refused) }),
  "state before": (n) => ({
    asked: { state: "refused", until: timeOf(n).toISOString() },
    wanted: below(n, 0, refused),
  }),
  time: (n) => ({
    asked: { from: timeOf(n - 500).toISOString(), until: timeOf(n).toISOString() },
    wanted: below(n, 0, 1),
  }),
  "patient and state": (n) => ({
    asked: { patient: "OFTEN", state: "refused", until: timeOf(n).toISOString() },
    wanted: below(n, 0, refused * 5),
  }),
  // Few are both: pages are short, and say that there is more.
  "patient and rare state": (_, count) => ({
    asked: { patient: "OFTEN", state: "filtered" },
    wanted: below(count, often, filtered),
  }),
};

/** Asks every question of every arrival in its turn, two pages of it at most that hold anything; each page's time counts. */
export async function searchAll(admin: AdminClient, units: number, count: number): Promise<Done> {
  const times: number[] = [];
  const started = performance.now();
  const all = Object.entries(questions);
  for (let k = 0; times.length < units; k += 1) {
    const [name = "", question] = all[k % all.length] ?? [];
    const n = 2 * page * refused * 5 + ((k * 7_919_993) % (count - 2 * page * refused * 5));
    const { asked, wanted = [] } = question?.(n, count) ?? {};
    const found: string[] = [];
    for (let after: Id | null | undefined; after !== null && found.length < wanted.length; ) {
      const before = performance.now();
      const answer = await admin.post<SearchPage>("/journal/search", {
        ...asked,
        ...(after ? { after } : {}),
        limit: page,
      });
      times.push(performance.now() - before);
      found.push(...answer.found.map(({ controlId }) => controlId ?? ""));
      after = answer.next;
    }
    if (found.join() !== wanted.map((each) => `C${each}`).join())
      throw new Error(`${name} of ${n}: found ${found.length} of ${wanted.length}, or others`);
  }
  const seconds = (performance.now() - started) / 1000;
  times.sort((one, other) => one - other);
  return { units: times.length, seconds, tailMs: times[Math.floor(times.length * 0.99)] ?? 0 };
}
