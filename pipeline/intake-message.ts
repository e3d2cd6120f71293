/** HL7 v2 messages: frame bytes to the durable spool, then extraction, filter and hard rules, then the answer (decision 1). */
import { createHash } from "node:crypto";
import type { Arrival, Deliver, Verdict } from "../connectors/connector.ts";
import { openCipher, sealPart } from "../envelope/index.ts";
import { codeOf, consequence, Fault, reasonOf } from "../errors.ts";
import { type MessageFacts, readMsh } from "../formats/hl7.ts";
import type { ArrivalRow, Change, Id, Token } from "../store/store.ts";
import { pass, type Site, step } from "./site.ts";
import { chunks } from "./validate.ts";

export type MessageIntake = (system: string, arrival: Arrival) => ReturnType<Deliver>;

/** What the corridor made of a message: `channel` is null when none takes it. */
export type Settled = {
  readonly channel: string | null;
  readonly state: "done" | "filtered";
  readonly code?: string;
  /** Committed with the message's verdict. */
  readonly changes: readonly Change[];
  /** What begins once they are committed. */
  begin(): void;
};

export type SpooledMessage = {
  readonly id: Id;
  readonly system: string;
  readonly bytes: Uint8Array;
  readonly facts: MessageFacts;
};

/** Takes one message through filter and validate; throws the fault that refuses it. */
export type TakeMessage = (message: SpooledMessage) => Promise<Settled>;

/** What a spooled message's row says of itself, sealed. */
type SpooledFacts = { readonly charset: string };

/**
 * Accepts messages; `resume` takes up those that a crash left between spool and verdict, `again` one that was refused or
 * filtered, after its channel has been corrected.
 */
export function openMessageIntake(
  site: Site,
  take: TakeMessage,
): { readonly intake: MessageIntake; resume(): Promise<void>; again(id: Id): Promise<void> } {
  const { store, config, log, now } = site;
  const running = new Map<Id, Promise<Verdict>>();

  const intake: MessageIntake = (system, arrival) =>
    pass(site, "source", system, async () => {
      const bytes = await collect(arrival.body);
      const sha256 = createHash("sha256").update(bytes).digest("hex");
      const mllp = config.own.systems[system]?.mllp;
      const charset = mllp?.charset ?? "from-msh-18";
      const isFramed = arrival.mediaType === "application/hl7-v2";
      const read = isFramed
        ? readHead(bytes, charset)
        : new Fault("HL7_MALFORMED", "the MLLP frame is broken; check the sender's framing");
      if (read instanceof Fault) return await quarantine(system, arrival, bytes, sha256, read);
      const repetition = repetitionOf(system, read);
      const before = store.arrivals.byRepetition(repetition);
      if (before) return await repeated(before, sha256, bytes, read, system, arrival);
      const id = store.newId();
      const row = {
        ...rowOf(id, system, arrival, sha256),
        controlId: read.controlId,
        repetition,
        facts: { charset } satisfies SpooledFacts,
      };
      const stored = await spool(row, bytes, sha256).then(
        () => undefined,
        (thrown: unknown) =>
          codeOf(thrown) === "STORE_CONFLICT" ? store.arrivals.byRepetition(repetition) : Promise.reject(thrown),
      );
      if (stored) return await repeated(stored, sha256, bytes, read, system, arrival);
      log("source.accepted", { controlId: read.controlId, peer: arrival.sender, message: id, bytes: bytes.length });
      const verdict = process(id, system, bytes, read);
      return { duplicate: false, answer: mllp?.answer === "stored" ? Promise.resolve({ accepted: true }) : verdict };
    });

  /** The verdict is kept with the arrival; a failure that may pass leaves it refused with AR, for the sender to repeat. */
  const process = (id: Id, system: string, bytes: Uint8Array, facts: MessageFacts): Promise<Verdict> => {
    const started = performance.now();
    const settle = (): Promise<Verdict> => settleOne({ id, system, bytes, facts }, started);
    const verdict = settle()
      // The same document in another message was kept meanwhile: looked at again, it is a repetition.
      .catch((thrown: unknown) => (codeOf(thrown) === "STORE_CONFLICT" ? settle() : Promise.reject(thrown)))
      .catch((thrown: unknown) => refuse(id, system, facts.controlId, thrown, started))
      .catch((thrown: unknown): Verdict => ({ accepted: false, code: codeOf(thrown), reason: reasonOf(thrown) }))
      .finally(() => running.delete(id));
    running.set(id, verdict);
    return verdict;
  };

  const settleOne = async (message: SpooledMessage, started: number): Promise<Verdict> => {
    const { channel, state, code, changes, begin } = await take(message);
    const fields = { peer: message.system, detail: "AA", ms: performance.now() - started, code: code ?? null };
    await store.commit([
      ...changes,
      step(site, message.id, "source", state === "done" ? "accepted" : "filtered", fields),
      store.arrivals.settle(message.id, { state, channel, code: code ?? null, reason: null }),
    ]);
    begin();
    if (code) log(`filter.${state}`, { controlId: message.facts.controlId, message: message.id, code });
    return { accepted: true };
  };

  const refuse = async (
    id: Id,
    system: string,
    controlId: string,
    thrown: unknown,
    started: number,
  ): Promise<Verdict> => {
    const [code, reason] = [codeOf(thrown), reasonOf(thrown)];
    const fields = { peer: system, detail: consequence(thrown).hl7, ms: performance.now() - started, code };
    log("validate.refused", { controlId, message: id, code, reason }, "warn");
    await store.commit([
      step(site, id, "source", "refused", fields),
      store.arrivals.settle(id, { state: "refused", code, reason }),
    ]);
    return { accepted: false, code, reason };
  };

  /** MSH-3/4, MSH-10 and MSH-7 seen within 24 h: the same bytes get the same answer, other bytes are refused (decision 8). */
  const repeated = async (
    before: ArrivalRow,
    sha256: string,
    bytes: Uint8Array,
    facts: MessageFacts,
    system: string,
    arrival: Arrival,
  ) => {
    if (before.digest !== store.tokens.of("digest", "", sha256)) {
      const reason = "another message with this MSH-10 and MSH-7 was received; give every message its own control id";
      return await quarantine(system, arrival, bytes, sha256, new Fault("HL7_CONFLICT", reason));
    }
    log("source.repeated", { controlId: facts.controlId, message: before.id });
    const isRefused = before.state === "refused";
    const current = running.get(before.id);
    const answer =
      current ??
      (isRefused || before.state === "accepted"
        ? process(before.id, system, bytes, facts)
        : Promise.resolve({ accepted: true }));
    return { duplicate: !isRefused, answer };
  };

  /** What is not a message is kept, sealed and listable, and refused. */
  const quarantine = async (system: string, arrival: Arrival, bytes: Uint8Array, sha256: string, fault: Fault) => {
    const id = store.newId();
    const row: ArrivalRow = {
      ...rowOf(id, system, arrival, sha256),
      state: "refused",
      code: fault.code,
      reason: fault.message,
    };
    await (bytes.length > 0 ? spool(row, bytes, sha256) : store.commit([store.arrivals.add(row), ...quarantined(row)]));
    log(
      "source.refused",
      { peer: arrival.sender, message: id, code: fault.code, reason: fault.message, bytes: bytes.length },
      "warn",
    );
    return {
      duplicate: false,
      answer: Promise.resolve<Verdict>({ accepted: false, code: fault.code, reason: fault.message }),
    };
  };

  const spool = async (row: ArrivalRow, bytes: Uint8Array, sha256: string): Promise<void> => {
    const part = sealPart(chunks(bytes), "whole");
    const blob = await store.blobs.put(part.cipher, part.facts);
    const accepted = row.state === "accepted" ? [{ id: row.id, digest: sha256 }] : [];
    await store.commit([blob.change, store.arrivals.add({ ...row, blob: blob.name }), ...quarantined(row)], accepted);
  };

  const quarantined = ({ id, source, state, code }: ArrivalRow): readonly Change[] =>
    state === "refused" ? [step(site, id, "source", "quarantined", { peer: source, code })] : [];

  const rowOf = (id: Id, system: string, arrival: Arrival, sha256: string): ArrivalRow => ({
    id,
    source: system,
    channel: null,
    mediaType: arrival.mediaType,
    controlId: arrival.controlId,
    sender: arrival.sender,
    repetition: null,
    digest: store.tokens.of("digest", "", sha256),
    blob: null,
    state: "accepted",
    code: null,
    reason: null,
    receivedAt: now().toISOString(),
    facts: null,
  });

  const repetitionOf = (system: string, facts: MessageFacts): Token =>
    store.tokens.of(
      "message",
      system,
      [facts.sendingApplication, facts.sendingFacility, facts.controlId, facts.dateTime].join("\n"),
    );

  const resume = async (): Promise<void> => {
    for (const row of store.arrivals.list({ state: "accepted", limit: maxResumed })) await takeUp(row);
  };
  const again = async (id: Id): Promise<void> => {
    const row = store.arrivals.find(id);
    if (row?.mediaType !== "application/hl7-v2" || row.blob === null)
      throw new Fault("HL7_UNSUPPORTED", "this was no whole message; its sender has to send it again");
    await takeUp(row);
  };
  const takeUp = async (row: ArrivalRow): Promise<void> => {
    if (row.blob === null || row.mediaType !== "application/hl7-v2") return;
    const bytes = await readBlob(site, row.blob);
    const head = readHead(bytes, (row.facts as SpooledFacts | null)?.charset ?? "from-msh-18");
    if (head instanceof Fault) await refuse(row.id, row.source, row.controlId, head, performance.now());
    else await process(row.id, row.source, bytes, head);
  };
  return { intake, resume, again };
}

const maxResumed = 100_000;
/** Whole messages are held while they are read; the connector's own limit is lower. */
const maxMessageBytes = 256 * 1024 * 1024;

async function collect(body: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = [];
  let size = 0;
  for await (const part of body) {
    size += part.length;
    if (size > maxMessageBytes) throw new Fault("TOO_LARGE", `the message is over ${maxMessageBytes} octets`);
    parts.push(part);
  }
  return parts.length === 1 && parts[0] ? parts[0] : Buffer.concat(parts, size);
}

function readHead(bytes: Uint8Array, charset: string): MessageFacts | Fault {
  try {
    return readMsh(bytes, charset === "from-msh-18" ? {} : { charset });
  } catch (thrown) {
    if (thrown instanceof Fault) return thrown;
    throw thrown;
  }
}

async function readBlob(site: Site, name: string): Promise<Uint8Array> {
  return await collect(openCipher(site.store.blobs.read(name), site.store.blobs.facts(name)));
}
