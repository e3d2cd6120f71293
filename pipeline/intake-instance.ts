/** Instances: one pass from the socket through the tokenizer and the cipher into a durable, sealed blob (decision 2). */
import type { Arrival, Deliver, Session } from "../connectors/connector.ts";
import { sealPart } from "../envelope/index.ts";
import { Fault } from "../errors.ts";
import { type DicomFacts, inspectDicom } from "../formats/dicom.ts";
import type { Change, Item, StagedBlob } from "../store/store.ts";
import type { OutboundChannel } from "./config.ts";
import { instanceChannel } from "./filter.ts";
import { rejected } from "./rejection-note.ts";
import { conflict } from "./replacement.ts";
import { pass, type Site, step } from "./site.ts";
import { validateInstance } from "./validate.ts";

export type InstanceIntake = (system: string, arrival: Arrival) => ReturnType<Deliver>;

/** Told of every instance that is durable and waits for its document, with the association it came on. */
type Kept = (item: Item, session?: Session) => void;

/** Accepts instances. */
export const openInstanceIntake =
  (site: Site, kept: Kept): InstanceIntake =>
  async (system, arrival) => {
    const channel = instanceChannel(site.config, system);
    if (!channel)
      throw new Fault("DICOM_UNSUPPORTED", `no channel of this site takes instances from ${system}; add one to run`);
    return await pass(site, "source", channel.name, () => accept(site, channel, system, arrival, kept));
  };

async function accept(
  site: Site,
  channel: OutboundChannel,
  system: string,
  arrival: Arrival,
  kept: Kept,
): Promise<{ duplicate: boolean; answer: Promise<{ accepted: boolean }> }> {
  const { store, log, now } = site;
  const started = performance.now();
  const inspector = inspectDicom();
  let facts: DicomFacts | undefined;
  async function* inspected(): AsyncGenerator<Uint8Array> {
    for await (const chunk of arrival.body) {
      inspector.push(chunk);
      yield chunk;
    }
    facts = inspector.finish();
  }
  const part = sealPart(inspected(), "segments");
  const blob = await store.blobs.put(part.cipher, part.facts);
  if (!facts) throw new Fault("DICOM_INVALID", "the instance ended before its data set");
  const size = part.facts().size;
  const answer = Promise.resolve({ accepted: true });
  const fields = { channel: channel.name, controlId: facts.sopInstanceUid, peer: arrival.sender, bytes: size };

  const before = sameBytes(site, facts, blob);
  if (before) {
    await comeAgain(site, before, kept, arrival.session);
    log("source.repeated", { ...fields, ms: since(started) });
    return { duplicate: true, answer };
  }
  const id = store.newId();
  const { item, findings } = validateInstance(site, channel, id, facts, blob, inspector.findings());
  const settled = { ...item, ...fateOf(site, item) };
  const row = {
    id,
    source: system,
    channel: channel.name,
    mediaType: arrival.mediaType,
    controlId: facts.sopInstanceUid,
    sender: arrival.sender,
    repetition: null,
    digest: item.digest,
    blob: blob.name,
    state: "done",
    code: null,
    reason: null,
    receivedAt: now().toISOString(),
    facts: null,
  } as const;
  try {
    await store.commit(
      [blob.change, store.arrivals.add(row), ...store.items.add(settled), ...findingSteps(site, settled, findings)],
      [{ id, digest: blob.digest }],
    );
  } catch (thrown) {
    // The same instance on two associations at once: the other one was first.
    if (thrown instanceof Fault && thrown.code === "STORE_CONFLICT" && sameBytes(site, facts, blob))
      return { duplicate: true, answer };
    throw thrown;
  }
  if (settled.code) log(`source.${settled.state}`, { ...fields, message: item.id, code: settled.code }, "warn");
  kept(settled, arrival.session);
  log("source.accepted", { ...fields, message: id, ms: since(started) });
  return { duplicate: false, answer };
}

/** What was found and let pass, or held, is told in the journal as a document's is. */
const findingSteps = (site: Site, { id, state, code }: Item, findings: readonly string[]): readonly Change[] =>
  findings.length === 0
    ? []
    : [step(site, id, "validate", state === "held" ? "held" : "validated", { code, detail: findings.join(", ") })];

/** The same instance with the same bytes is here already: accepted again, kept once. */
function sameBytes({ store }: Site, facts: DicomFacts, blob: StagedBlob): Item | undefined {
  const digest = store.tokens.of("digest", "", blob.digest);
  return store.items.byKey("instance", facts.sopInstanceUid).find((item) => item.digest === digest);
}

/** A study whose retention at the PACS expired may be sent again (IHE RAD-66): it waits as before. */
async function comeAgain(site: Site, item: Item, kept: Kept, session: Session | undefined): Promise<void> {
  const { store, now } = site;
  if (item.state === "discarded" && item.code === rejected && !store.studies.rejection(item.key)) {
    const waits = { state: "waiting", code: null, reason: null, since: now().toISOString() } as const;
    await store.commit([store.items.mark(item.id, waits)]);
    kept({ ...item, ...waits }, session);
  } else if (session) kept(item, session);
}

/** What a new instance meets: a note that rejected it before it came, or other bytes under its UID. */
function fateOf({ store }: Site, { key }: Item): Partial<Item> {
  const rejection = store.studies.rejection(key);
  if (rejection) return { state: "discarded", code: rejected, reason: rejection.reason };
  const isKnown = store.items.byKey("instance", key).some(({ state }) => state !== "discarded");
  if (!isKnown) return {};
  const reason = "a corrected instance under a SOP Instance UID that was kept before, with other bytes";
  return { state: "held", code: conflict, reason };
}

const since = (started: number): number => Math.round(performance.now() - started);
