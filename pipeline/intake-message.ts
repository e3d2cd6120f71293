/** HL7 v2 messages: frame bytes to the durable spool, then extraction, filter and hard rules, then the answer. */
import { hash } from "node:crypto";
import type { Arrival, Deliver, Verdict } from "../connectors/connector.ts";
import { codeOf, Fault, reasonOf } from "../errors.ts";
import { acksOf, type MessageFacts } from "../formats/hl7.ts";
import { patientsNamed } from "../formats/hl7-merge.ts";
import type { ArrivalRow, Change, Id, Token } from "../store/store.ts";
import { isAnsweredFirst, isAnsweredLast } from "./answer-order.ts";
import { arrivalRow, takenIn } from "./arrival-row.ts";
import { namedPatient } from "./audited.ts";
import { isTakenByNone } from "./filter.ts";
import { openLanes } from "./lanes.ts";
import { collect, readMessage, stageMessage } from "./message-blob.ts";
import { readHead, type SpooledFacts } from "./message-head.ts";
import type { Pace } from "./pace.ts";
import { openPatientOrder, turnsIn } from "./patient-order.ts";
import { tellRepetition } from "./repetition.ts";
import { pass, type Site } from "./site.ts";
import { staging } from "./staging.ts";
import { type Foreseen, openVerdicts, type SpooledMessage, type TakeMessage } from "./verdicts.ts";

export type MessageIntake = (system: string, arrival: Arrival) => ReturnType<Deliver>;

type Keeping = {
  /** As nothing is known yet but that it came, and when. */
  readonly row: ArrivalRow & { readonly repetition: Token };
  readonly isForeseen: boolean;
  /** Its verdict, where it is known before it is kept: one commit keeps both (decision 0013). */
  readonly foreseen: Foreseen | undefined;
  readonly named: readonly string[];
};

/**
 * Messages under way at once: of one connection, of one beside others (a live message waits for as many of a batch), and
 * together. More of one would only wait in the store's writer.
 */
const lanesOf = { perSender: 16, beside: 4, total: 128 } as const;

/**
 * Accepts messages; `resume` takes up those that a crash left between spool and verdict, `again` one that was refused or
 * filtered, after its channel has been corrected.
 */
export function openMessageIntake(
  site: Site,
  take: TakeMessage,
  pace: Pace,
): { readonly intake: MessageIntake; resume(): Promise<void>; again(id: Id): Promise<void> } {
  const { store, config, log } = site;
  const lanes = openLanes(lanesOf);
  const turnOf = turnsIn(openPatientOrder());
  const verdicts = openVerdicts(site, take, pace);
  /** Of messages that are being judged, what may come sooner than their verdict: repetitions get the same. */
  const answers = new Map<Id, Promise<Verdict>>();

  const intake: MessageIntake = async (system, arrival) => {
    const leaveLane = await lanes.enter(arrival.sender);
    const end = pace.begin();
    const leave = (): void => {
      leaveLane();
      end();
    };
    try {
      const taken = await pass(site, "source", system, () => accept(system, arrival));
      // The place is given back with the answer: what is judged after it has a line of its own.
      taken.answer.then(leave, leave);
      return taken;
    } catch (thrown) {
      leave();
      throw thrown;
    }
  };

  const accept = async (system: string, arrival: Arrival): ReturnType<Deliver> => {
    const bytes = await collect(arrival.body);
    const sha256 = hash("sha256", bytes);
    const charset = config.own.systems[system]?.mllp?.charset ?? "from-msh-18";
    const isFramed = arrival.mediaType === "application/hl7-v2";
    const facts = isFramed
      ? readHead(config, system, bytes, charset)
      : new Fault("HL7_MALFORMED", "the MLLP frame is broken; check the sender's framing");
    if (facts instanceof Fault) return await quarantine(system, arrival, bytes, sha256, facts);
    const repetition = repetitionOf(system, facts);
    const isForeseen = isTakenByNone(config, system, facts, bytes);
    // A large one is made durable first: it would take long to come again.
    const isFirst = !isForeseen && bytes.length <= maxOptimisticBytes && isAnsweredLast(config, system, facts);
    // A small one that came before is found out by the commit's conflict, which a new one never pays for.
    const isLookedFor = isFirst || bytes.length > maxOptimisticBytes;
    const before = isLookedFor ? store.arrivals.byRepetition(repetition) : undefined;
    if (before) return await repeated(before, sha256, bytes, facts, system, arrival);
    // Its place among its patient's messages is taken before it is spooled: a small one never overtakes a large one.
    const named = isForeseen ? [] : patientsNamed(bytes, facts);
    const turn = turnOf(bytes, facts, named);
    const message: SpooledMessage = { id: store.newId(), system, sender: arrival.sender, bytes, facts, turn };
    const row = {
      ...arrivalRow(site, message.id, system, arrival, sha256),
      controlId: facts.controlId,
      repetition,
      facts: charset === "from-msh-18" ? null : ({ charset } satisfies SpooledFacts),
    };
    try {
      const judged = isForeseen ? verdicts.foresee : isFirst ? verdicts.judgeFirst : undefined;
      const foreseen = await judged?.(message);
      return await keep(message, arrival, sha256, { row, isForeseen, foreseen, named });
    } catch (thrown) {
      turn.leave();
      throw thrown;
    }
  };

  /** Spools a message; what was spooled has its verdict, or gets it in its turn. */
  const keep = async (
    message: SpooledMessage,
    arrival: Arrival,
    sha256: string,
    { row, isForeseen, foreseen, named }: Keeping,
  ): ReturnType<Deliver> => {
    const { id, system, bytes, facts, turn } = message;
    let known = foreseen;
    const keepIt = (): Promise<void> => {
      // A refusal that is known has an entry of its own.
      const told = known?.verdict.accepted === false ? [] : takenIn(site, row, namedPatient(site, named));
      const changes = [...told, ...(known?.changes ?? [])];
      return spool({ ...row, ...known?.row }, bytes, sha256, changes, isForeseen ? undefined : known);
    };
    try {
      await keepIt();
    } catch (thrown) {
      if (codeOf(thrown) !== "STORE_CONFLICT") throw thrown;
      const stored = store.arrivals.byRepetition(row.repetition);
      if (stored) {
        turn.leave();
        return await repeated(stored, sha256, bytes, facts, system, arrival);
      }
      // A control id of more than 24 hours ago stands in the way: it may come again. Or its document was kept meanwhile: then
      // another look finds a repetition.
      await store.commit([store.arrivals.forget(row.repetition)]);
      if (!isForeseen) known = undefined;
      await keepIt();
    }
    log("source.accepted", { controlId: facts.controlId, peer: arrival.sender, message: id, bytes: bytes.length });
    known?.begin();
    if (known) turn.leave();
    return {
      duplicate: false,
      ...(known ? { answer: Promise.resolve(known.verdict), done: nothing } : judge(message)),
    };
  };

  const judgeLater = (message: SpooledMessage): void =>
    verdicts.judgeLater(message, async () => {
      const blob = store.arrivals.find(message.id)?.blob;
      if (!blob) throw new Fault("STORE_DAMAGED", "a spooled message is not in the store; restore it from a backup");
      return await readMessage(store, blob);
    });

  /** The verdict, or that it is stored where that is the answer, or where the verdict takes longer than it may. */
  const judge = (message: SpooledMessage): Omit<Awaited<ReturnType<Deliver>>, "duplicate"> => {
    if (isAnsweredFirst(config, message.system, message.facts)) {
      judgeLater(message);
      return { answer: Promise.resolve({ accepted: true }), done: nothing };
    }
    const mllp = config.own.systems[message.system]?.mllp;
    const { application } = acksOf(message.facts);
    let isAnswered = !application(false);
    let timer: NodeJS.Timeout | undefined;
    const { promise: late, resolve } = Promise.withResolvers<Verdict>();
    const answerNow = (): void => {
      isAnswered = true;
      resolve({ accepted: true });
    };
    if (mllp?.within !== undefined) timer = setTimeout(answerNow, mllp.within);
    const verdict = verdicts.judge(message, () => {
      clearTimeout(timer);
      return isAnswered;
    });
    const answer = Promise.race([verdict, late]).finally(() => clearTimeout(timer));
    answers.set(message.id, answer);
    return { answer, done: verdict.catch(() => undefined).finally(() => answers.delete(message.id)) };
  };

  /** MSH-3/4, MSH-10 and MSH-7 seen within 24 h: the same bytes get the same answer, other bytes are refused. */
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
    await tellRepetition(site, before, facts.controlId);
    const isRefused = before.state === "refused";
    const isOpen = isRefused || before.state === "accepted";
    const isStored = isAnsweredFirst(config, system, facts) && before.state === "accepted";
    const answer =
      isStored || !isOpen
        ? Promise.resolve({ accepted: true })
        : (answers.get(before.id) ??
          verdicts.running(before.id) ??
          verdicts.judge({ id: before.id, system, sender: arrival.sender, bytes, facts, turn: turnOf(bytes, facts) }));
    return { duplicate: !isRefused, answer };
  };

  /** What is not a message is kept, sealed and listable, and refused. */
  const quarantine = async (
    system: string,
    arrival: Arrival,
    bytes: Uint8Array,
    sha256: string,
    fault: Fault,
  ): Promise<never> => {
    const id = store.newId();
    const row: ArrivalRow = {
      ...arrivalRow(site, id, system, arrival, sha256),
      state: "refused",
      code: fault.code,
      reason: fault.message,
    };
    await (bytes.length > 0
      ? spool(row, bytes, sha256, takenIn(site, row))
      : store.commit([store.arrivals.add(row), ...takenIn(site, row)], [{ id, digest: sha256 }]));
    log(
      "source.refused",
      { peer: arrival.sender, message: id, code: fault.code, reason: fault.message, bytes: bytes.length },
      "warn",
    );
    throw fault;
  };

  /** Keeps a message, or what is left of it without its payload, in the name of what came. */
  const spool = async (
    row: ArrivalRow,
    bytes: Uint8Array,
    sha256: string,
    changes: readonly Change[],
    judged?: Foreseen,
  ): Promise<void> => {
    await staging(async (stage) => {
      for (const body of judged?.bodies ?? []) stage(body);
      const octets = judged?.frame ?? bytes;
      const blob = stage(await stageMessage(store, row.id, octets, octets === bytes ? sha256 : undefined));
      const added = store.arrivals.add({ ...row, blob: blob.name });
      await store.commit([blob.change, added, ...changes], [{ id: row.id, digest: sha256 }], judged !== undefined);
    });
  };

  const repetitionOf = (system: string, facts: MessageFacts): Token =>
    store.tokens.of(
      "message",
      system,
      [facts.sendingApplication, facts.sendingFacility, facts.controlId, facts.dateTime].join("\n"),
    );

  const resume = async (): Promise<void> => {
    // What cannot be read any more keeps neither the others from their verdicts nor the house from its start.
    for (const row of store.arrivals.list({ state: "accepted", limit: maxResumed }))
      await takeUp(row, true).catch((thrown: unknown) =>
        log("validate.unread", { message: row.id, code: codeOf(thrown), reason: reasonOf(thrown) }, "error"),
      );
  };
  const again = async (id: Id): Promise<void> => {
    const row = store.arrivals.find(id);
    if (row?.mediaType !== "application/hl7-v2" || row.blob === null)
      throw new Fault(
        "HL7_UNSUPPORTED",
        "this was no whole message, is an instance, or its retention is over; its sender has to send it again",
      );
    await takeUp(row, false);
  };
  /** One whose sender was answered long ago is judged while the house listens already. */
  const takeUp = async (row: ArrivalRow, isLeft: boolean): Promise<void> => {
    if (row.blob === null || row.mediaType !== "application/hl7-v2") return;
    const bytes = await readMessage(store, row.blob);
    const head = readHead(config, row.source, bytes, (row.facts as SpooledFacts | null)?.charset);
    if (head instanceof Fault) {
      const facts = { controlId: row.controlId } as MessageFacts;
      await verdicts.refuse({ id: row.id, system: row.source, facts }, head, performance.now(), false);
    } else {
      const { id, source: system, sender } = row;
      const message: SpooledMessage = { id, system, sender, bytes, facts: head, turn: turnOf(bytes, head) };
      if (isLeft && isAnsweredFirst(config, system, head)) judgeLater(message);
      else await verdicts.judge(message);
    }
  };
  return { intake, resume, again };
}

/** Larger ones are looked for before they are encrypted. */
const maxOptimisticBytes = 64 * 1024;
const maxResumed = 100_000;
const nothing = Promise.resolve();
