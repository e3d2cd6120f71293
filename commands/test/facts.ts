/** What became of what a test sent: read from the house's own journal and records. */
import { readManifest } from "../../envelope/index.ts";
import type { DocumentEntry } from "../../formats/document-entry.ts";
import { type Family, familyOf } from "../../pipeline/journal.ts";
import type { DocumentFacts } from "../../pipeline/validate.ts";
import type { Store } from "../../store/store.ts";
import type { House } from "./houses.ts";

export type Facts = {
  readonly family: Family;
  readonly channel: string | null;
  readonly findings: readonly string[];
  readonly held: string | null;
  readonly entry: DocumentEntry | undefined;
  /** Undefined until a record is sealed. */
  readonly instances: number | undefined;
  readonly opensFor: readonly string[];
  readonly routed: readonly string[];
};

const none: Family = { arrivals: [], items: [], records: [], deliveries: [] };

/** Facts about everything that these control ids brought to a house. */
export async function factsOf({ started, config }: House, controlIds: readonly string[]): Promise<Facts> {
  const { store } = started;
  const family = (await Promise.all(controlIds.map((id) => grown(store, id)))).reduce(merged, none);
  const { arrivals, items, records } = family;
  const documents = items.filter(({ kind }) => kind === "document");
  const steps = store.steps.of([...items, ...records].map(({ id }) => id));
  const codes = [
    ...arrivals.map(({ code }) => code),
    ...items.map(({ code }) => code),
    ...steps.flatMap(({ station, detail }) => (station === "validate" ? codesIn(detail ?? "") : [])),
  ];
  const sealedFor = records.flatMap(({ manifest }) => readManifest(manifest).to.map(({ org }) => org));
  const releasedTo = steps.flatMap(({ event, peer }) =>
    (event === "released" || event === "pushed") && peer ? [peer] : [],
  );
  const evidence = records.flatMap(({ id }) => store.records.evidence(id));
  const routed = evidence.filter(
    ({ kind, from }) => kind === "registered" || (kind === "stored" && from !== config.site),
  );
  return {
    family,
    channel: documents[0]?.channel ?? arrivals.find(({ channel }) => channel !== null)?.channel ?? null,
    findings: distinct(codes),
    held: items.find(({ state }) => state === "held")?.code ?? null,
    entry:
      (records[0]?.entry as DocumentEntry | undefined) ?? (documents[0]?.facts as DocumentFacts | undefined)?.entry,
    instances:
      records.length === 0
        ? undefined
        : records.reduce((sum, { parts }) => sum + parts.filter(({ n }) => n >= 5).length, 0),
    opensFor: distinct([...sealedFor, ...releasedTo]),
    routed: distinct(routed.map(({ from }) => from)),
  };
}

async function grown(store: Store, controlId: string): Promise<Family> {
  try {
    return await familyOf(store, controlId);
  } catch {
    // Not there, or not yet.
    return none;
  }
}

const merged = (one: Family, other: Family): Family => ({
  arrivals: union(one.arrivals, other.arrivals),
  items: union(one.items, other.items),
  records: union(one.records, other.records),
  deliveries: union(one.deliveries, other.deliveries),
});

const union = <T extends { readonly id: string }>(one: readonly T[], other: readonly T[]): readonly T[] => [
  ...new Map([...one, ...other].map((each) => [each.id, each])).values(),
];

/** Codes among what a step tells: places and names of rules are not. */
const codesIn = (detail: string): readonly string[] =>
  detail.split(/[; ]+/).filter((word) => /^[A-Z][A-Z0-9_]+$/.test(word));

const distinct = (values: readonly (string | null)[]): readonly string[] =>
  [...new Set(values.filter((value): value is string => value !== null && value !== ""))].sort();
