/** Instances: one pass from the socket through the tokenizer and the cipher into a durable, sealed blob (decision 2). */
import type { Arrival, Deliver } from "../connectors/connector.ts";
import { sealPart } from "../envelope/index.ts";
import { Fault } from "../errors.ts";
import { type DicomFacts, inspectDicom } from "../formats/dicom.ts";
import type { Change, Item, StagedBlob } from "../store/store.ts";
import type { OutboundChannel } from "./config.ts";
import { instanceChannel } from "./filter.ts";
import { pass, type Site, step } from "./site.ts";
import { validateInstance } from "./validate.ts";

export type InstanceIntake = (system: string, arrival: Arrival) => ReturnType<Deliver>;

/** Accepts instances; `kept` is told of every one that is durable and waits for its document. */
export const openInstanceIntake =
  (site: Site, kept: (item: Item) => void): InstanceIntake =>
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
  kept: (item: Item) => void,
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

  if (isKept(site, facts, blob)) {
    log("source.repeated", { ...fields, ms: since(started) });
    return { duplicate: true, answer };
  }
  const id = store.newId();
  const { item, findings } = validateInstance(site, channel, id, facts, blob, inspector.findings());
  const conflict = store.items.byKey("instance", item.key).length > 0;
  const settled: Item = conflict
    ? {
        ...item,
        state: "held",
        code: "DICOM_CONFLICT",
        reason: "another instance with this SOP Instance UID was kept before",
      }
    : item;
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
    if (thrown instanceof Fault && thrown.code === "STORE_CONFLICT" && isKept(site, facts, blob))
      return { duplicate: true, answer };
    throw thrown;
  }
  if (settled.code) log("source.held", { ...fields, code: settled.code }, "warn");
  else kept(settled);
  log("source.accepted", { ...fields, message: id, ms: since(started) });
  return { duplicate: false, answer };
}

/** What was found and let pass, or held, is told in the journal as a document's is. */
const findingSteps = (site: Site, { id, state, code }: Item, findings: readonly string[]): readonly Change[] =>
  findings.length === 0
    ? []
    : [step(site, id, "validate", state === "held" ? "held" : "validated", { code, detail: findings.join(", ") })];

/** The same instance with the same bytes is here already: accepted again, kept once. */
function isKept({ store }: Site, facts: DicomFacts, blob: StagedBlob): boolean {
  const digest = store.tokens.of("digest", "", blob.digest);
  return store.items.byKey("instance", facts.sopInstanceUid).some((item) => item.digest === digest);
}

const since = (started: number): number => Math.round(performance.now() - started);
