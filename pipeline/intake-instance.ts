/** Instances: what was received durably is accepted, or refused and kept for a person; then the peer is answered. */
import type { Arrival, Deliver, Session } from "../connectors/connector.ts";
import { codeOf, Fault, orFault } from "../errors.ts";
import { isUid } from "../formats/dicom.ts";
import type { ArrivalRow, Change, Id, Item, TakenBlob } from "../store/store.ts";
import { arrivalRow, takenIn } from "./arrival-row.ts";
import { namedPatient } from "./audited.ts";
import type { OutboundChannel } from "./config.ts";
import { instanceChannel } from "./filter.ts";
import { type Met, metBy, type ReceivedInstance, receiveInstance } from "./receive-instance.ts";
import { meansAnother, rejected } from "./rejection-note.ts";
import { conflict, displaced } from "./replacement.ts";
import { returnedOf } from "./returned.ts";
import { msSince, pass, type Site, step } from "./site.ts";
import { validateInstance } from "./validate.ts";

export type InstanceIntake = (system: string, arrival: Arrival) => ReturnType<Deliver>;

/** Told of every instance that is durable and waits for its document, with the association it came on. */
type Kept = (item: Item, session?: Session) => void;

/** Accepts instances; what is refused is kept, sealed and listable, as a message is. */
export function openInstanceIntake(site: Site, kept: Kept): InstanceIntake {
  const underway: Underway = new Map();
  return async (system, arrival) => {
    const channel =
      instanceChannel(site.config, system) ??
      new Fault("DICOM_UNSUPPORTED", `no channel of this site takes instances from ${system}; add one to run`);
    if (!(channel instanceof Fault)) site.stopped.admit("channel", channel.name);
    const { duplicate, fault } = await pass(
      site,
      "source",
      channel instanceof Fault ? system : channel.name,
      () => take(site, channel, system, arrival, kept, underway),
      (taken) => taken.fault?.code,
    );
    const verdict = fault ? { accepted: false, code: fault.code, reason: fault.message } : { accepted: true };
    return { duplicate, answer: Promise.resolve(verdict) };
  };
}

type Taken = { readonly duplicate: boolean; readonly fault?: Fault };
/** Commits on their way to the disk, by SOP Instance UID: no look at the store sees them. */
type Underway = Map<string, Promise<void>>;

async function take(
  site: Site,
  channel: OutboundChannel | Fault,
  system: string,
  arrival: Arrival,
  kept: Kept,
  underway: Underway,
): Promise<Taken> {
  const { store, log } = site;
  const started = performance.now();
  const received = await receiveInstance(site, arrival, channel instanceof Fault ? channel : undefined);
  const { blob, size, facts, findings: found } = received;
  const refuse = (fault: Fault): Promise<Taken> => quarantine(site, system, arrival, received, fault);
  if (channel instanceof Fault) return await refuse(channel);
  if (facts instanceof Fault) return await refuse(facts);
  const fields = { channel: channel.name, controlId: facts.sopInstanceUid, peer: arrival.sender, bytes: size };

  const repeated = async (before: Item, judged?: Item): Promise<Taken> => {
    // What its retention has ended is known and its octets are not: of each repetition they would be left.
    await blob.drop();
    const met = without(metBy(site, before.key), other);
    const { state = "waiting", code = null, reason = null }: Partial<Item> = fateOf(met) ?? judged ?? {};
    const anew: Item = { ...before, state, code, reason, since: site.now().toISOString() };
    if (hasEnded(met)) await comeAgain(site, anew, kept, arrival);
    else if (arrival.session) kept(before, arrival.session);
    log("source.repeated", { ...fields, ms: msSince(started) });
    return { duplicate: true };
  };
  const { rejection } = received.met;
  const other = rejection && (await meansAnother(site, rejection.note, facts)) ? rejection.note : undefined;
  const here = without(received.met, other);
  const before = sameBytes(site, here, blob);
  if (before && !hasEnded(here)) return await repeated(before);
  const returned = hasEnded(here) && (await returnedOf(site, here.elsewhere, facts));
  if (returned) return await dropped(site, channel, system, arrival, received, returned);
  const id = store.newId();
  const validated = orFault(() => validateInstance(site, channel, id, facts, blob, found));
  if (validated instanceof Fault) return await refuse(validated);
  const { item, findings } = validated;
  if (before) return await repeated(before, item);
  const row: ArrivalRow = {
    ...arrivalRow(site, id, system, arrival, blob.digest),
    channel: channel.name,
    controlId: facts.sopInstanceUid,
    blob: blob.name,
    state: "done",
  };
  const keptAs = (settled: Item): readonly Change[] => [
    ...store.items.add(settled),
    ...findingSteps(site, settled, findings),
  ];
  // Made up while the disk writes, as if nothing else were known of it.
  const arrived = [
    store.arrivals.add(row),
    ...takenIn(site, row, namedPatient(site, facts.patientId ? [facts.patientId] : [])),
  ];
  const alone = keptAs(item);
  const { change } = await blob.durable();
  while (underway.has(item.key)) await underway.get(item.key);
  // The write may have taken long: what was committed meanwhile counts.
  const met = without(received.met.version === store.version() ? received.met : metBy(site, item.key), other);
  const meanwhile = sameBytes(site, met, blob);
  if (meanwhile) return await repeated(meanwhile, item);
  const fate = fateOf(met);
  const settled = { ...item, ...fate };
  const committed = store.commit(
    [
      change,
      ...arrived,
      ...(met.known.length > 0 ? displaced(site, settled) : []),
      ...(fate ? keptAs(settled) : alone),
    ],
    [{ id, digest: blob.digest }],
  );
  const over = (): void => void underway.delete(item.key);
  underway.set(item.key, committed.then(over, over));
  try {
    await committed;
  } catch (thrown) {
    if (codeOf(thrown) !== "STORE_DAMAGED") await blob.drop();
    // The same instance on two associations at once: the other one was first.
    if (codeOf(thrown) === "STORE_CONFLICT" && sameBytes(site, metBy(site, item.key), blob)) return { duplicate: true };
    throw thrown;
  }
  const ms = msSince(started);
  // Behind the answer, for which the peer waits.
  setImmediate(() => {
    if (settled.code) log(`source.${settled.state}`, { ...fields, message: item.id, code: settled.code }, "warn");
    kept(settled, arrival.session);
    log("source.accepted", { ...fields, message: id, ms });
  });
  return { duplicate: false };
}

/** What our PACS sends back of another house's record, which has its octets: counted, and told in the journal. */
async function dropped(
  site: Site,
  channel: OutboundChannel,
  system: string,
  arrival: Arrival,
  { blob, size }: ReceivedInstance,
  record: Id,
): Promise<Taken> {
  const { store, log } = site;
  const { controlId, sender: peer } = arrival;
  const code = "ECHO";
  await blob.drop();
  const row: ArrivalRow = {
    ...arrivalRow(site, store.newId(), system, arrival, blob.digest),
    channel: channel.name,
    state: "filtered",
    code,
  };
  const { id } = row;
  const told = step(site, id, "source", "filtered", { peer: system, code, detail: `of record ${record}` });
  await store.commit([store.arrivals.add(row), ...takenIn(site, row), told], [{ id, digest: blob.digest }]);
  log("filter.filtered", { channel: channel.name, controlId, peer, message: id, code, bytes: size });
  return { duplicate: false };
}

/** Kept once in 24 hours, however often its sender tries: sealed as any instance, with why it was refused. */
async function quarantine(
  site: Site,
  system: string,
  arrival: Arrival,
  { blob, size }: ReceivedInstance,
  fault: Fault,
): Promise<Taken> {
  const { store, log } = site;
  // A SOP Instance UID that is none may be anything, a name too.
  const controlId = isUid(arrival.controlId) ? arrival.controlId : "";
  const { code, message: reason } = fault;
  const repetition = store.tokens.of("message", system, `${code}\n${controlId}\n${blob.digest}`);
  const row: ArrivalRow = {
    ...arrivalRow(site, store.newId(), system, { ...arrival, controlId }, blob.digest),
    repetition,
    blob: blob.name,
    state: "refused",
    code,
    reason,
  };
  const keep = async (): Promise<boolean> => {
    if (store.arrivals.byRepetition(repetition)) {
      await blob.drop();
      return true;
    }
    const { change } = await blob.durable();
    const changes = [change, store.arrivals.add(row), ...takenIn(site, row)];
    await store.commit(changes, [{ id: row.id, digest: blob.digest }]);
    return false;
  };
  const isKept = await keep().catch(async (thrown: unknown) => {
    if (codeOf(thrown) !== "STORE_CONFLICT") throw thrown;
    // It came twice at once, or more than 24 hours ago.
    await store.commit([store.arrivals.forget(repetition)]);
    return await keep();
  });
  const message = isKept ? store.arrivals.byRepetition(repetition)?.id : row.id;
  log(
    "source.refused",
    { controlId, peer: arrival.sender, ...(message && { message }), code, reason, bytes: size },
    "warn",
  );
  return { duplicate: isKept, fault };
}

/** What was found and let pass, or held, is told in the journal as a document's is. */
const findingSteps = (site: Site, { id, state, code }: Item, findings: readonly string[]): readonly Change[] =>
  findings.length === 0
    ? []
    : [step(site, id, "validate", state === "held" ? "held" : "validated", { code, detail: findings.join(", ") })];

/** The same instance with the same bytes is here already: accepted again, kept once. Not one that comes again after its retention. */
function sameBytes({ store }: Site, met: Met, blob: TakenBlob): Item | undefined {
  if (met.known.length === 0) return undefined;
  const digest = store.tokens.of("digest", "", blob.digest);
  const same = met.known.find((item) => item.digest === digest);
  return same?.blob === "" && hasEnded(met) ? undefined : same;
}

/** As if a note that means an instance of another study were not here. */
const without = (met: Met, note: string | undefined): Met =>
  met.rejection?.note === note ? { ...met, rejection: undefined } : met;

/** All that was here of its UID was discarded, and no note says that it is to be. */
const hasEnded = ({ known, rejection }: Met): boolean =>
  !rejection && known.every(({ state }) => state === "discarded");

/**
 * What has ended here, with nothing else under its UID, and is sent again is meant to be used: after a person's discard, or when its
 * retention at the PACS expired (IHE RAD-66). It waits, or is held for what is in it, as one that was never here.
 */
async function comeAgain(site: Site, item: Item, kept: Kept, { session, sender: peer }: Arrival): Promise<void> {
  const { store } = site;
  const { id, state, code, reason, since } = item;
  const told = step(site, id, "source", "accepted", { peer, detail: "sent again after it was discarded" });
  await store.commit([...store.items.again(id, since), store.items.mark(id, { state, code, reason }), told]);
  kept(item, session);
}

/** What that makes of it; undefined where it waits as any other. */
function fateOf(met: Met): Partial<Item> | undefined {
  if (met.rejection) return { state: "discarded", code: rejected, reason: met.rejection.reason };
  if (hasEnded(met)) return met.elsewhere.length > 0 ? { state: "held", code: conflict, reason: foreign } : undefined;
  const reason = "a corrected instance under a SOP Instance UID that was kept before, with other bytes";
  return { state: "held", code: conflict, reason };
}

const foreign = "an instance of this SOP Instance UID, of another study or one that is gone, came from another house";
