/** What becomes of a spooled message: its verdict, kept with its arrival in one commit with whatever the corridor made of it. */
import type { Verdict } from "../connectors/connector.ts";
import { codeOf, consequence, type ErrorCode, reasonOf } from "../errors.ts";
import { findingsOf, type MessageFacts } from "../formats/hl7.ts";
import type { ArrivalRow, BlobName, Change, Id, StagedBlob } from "../store/store.ts";
import { openLanes } from "./lanes.ts";
import { stageMessage } from "./message-blob.ts";
import type { Pace } from "./pace.ts";
import type { Turn } from "./patient-order.ts";
import { type Site, step } from "./site.ts";
import { withBodies } from "./staging.ts";

/** What the corridor made of a message: `channel` is null when none takes it. */
export type Settled = {
  readonly channel: string | null;
  readonly state: "done" | "filtered";
  readonly code?: string;
  /** Committed with the message's verdict. */
  readonly changes: readonly Change[];
  /** What these keep: gone where they cannot be committed. */
  readonly bodies?: readonly StagedBlob[] | undefined;
  /** Once a document's part is durable, its message is kept without the payload, as this. */
  readonly frame?: Uint8Array;
  /** What begins once they are committed. */
  begin(): void;
};

export type SpooledMessage = {
  readonly id: Id;
  readonly system: string;
  /** The connection it came on. */
  readonly sender: string;
  readonly bytes: Uint8Array;
  readonly facts: MessageFacts;
  /** Its place among the messages of its patient; whoever gives the verdict leaves it. */
  readonly turn: Turn;
};

/** Takes one message through filter and validate; throws the fault that refuses it. */
export type TakeMessage = (message: SpooledMessage) => Promise<Settled>;

/** A verdict that is known before the message is spooled: one commit keeps both. */
export type Foreseen = {
  readonly row: Pick<ArrivalRow, "state" | "channel" | "code" | "reason">;
  readonly changes: readonly Change[];
  readonly bodies?: Settled["bodies"];
  /** What is kept of the message; all of it where this is undefined. */
  readonly frame?: Uint8Array | undefined;
  readonly verdict: Verdict;
  /** After the commit. */
  begin(): void;
};

export type Verdicts = {
  /** The verdict of a message that no channel takes and that is not in the store yet; undefined where it has to be judged after that. */
  foresee(message: SpooledMessage): Promise<Foreseen | undefined>;
  /** The verdict, in its turn, of a message that is not in the store yet (decision 0013). */
  judgeFirst(message: SpooledMessage): Promise<Foreseen>;
  /** The verdict that a message is getting now. */
  running(id: Id): Promise<Verdict> | undefined;
  /**
   * Judges at once. `isAnswered` is asked when something is wrong: whether its sender has been answered already, which makes
   * it an alarm; if not, the sender gets this verdict and no other.
   */
  judge(message: SpooledMessage, isAnswered?: () => boolean): Promise<Verdict>;
  /** Judges after its answer, a few at a time; `read` gets the octets of a large one again, and when too many wait to be held. */
  judgeLater(message: SpooledMessage, read: () => Promise<Uint8Array>): void;
  refuse(
    message: Omit<SpooledMessage, "bytes" | "sender" | "turn">,
    thrown: unknown,
    started: number,
    isAnswered: boolean,
  ): Promise<Verdict>;
};

/** Octets of messages that were answered and wait for their verdict; beyond this they are read again from the store. */
const maxHeldBytes = 64 * 1024 * 1024;
/** A larger one is read again in any case: its memory is given back with its answer. */
const maxHeldEachBytes = 1024 * 1024;

const maxLater = 4;
/** How often a message is judged of which something has changed before its verdict was kept. */
const maxLooks = 8;

/** How often a verdict is tried that fails for a reason of this house's own: a disk that is full for as long as it is. */
const maxTries: Readonly<Partial<Record<ErrorCode, number>>> = { STORE_FULL: Number.POSITIVE_INFINITY, UNEXPECTED: 5 };
const retryMs = 5_000;

/** Verdicts of one site. */
export function openVerdicts(site: Site, take: TakeMessage, pace: Pace): Verdicts {
  const { store, log } = site;
  const running = new Map<Id, Promise<Verdict>>();
  const judging = openLanes({ perSender: 1, total: 2 });
  // A few at a time, so that they share commits and what waits for an acknowledgement always comes between.
  const later = openLanes({ perSender: maxLater, total: maxLater });
  let held = 0;

  /** Something that it was judged by has changed meanwhile: its document was kept from another message, or what it cancels has left. */
  const settleAtLast = async (message: SpooledMessage, started: number): Promise<Verdict> => {
    for (let looks = 1; ; looks += 1) {
      try {
        return await settleOne(message, started);
      } catch (thrown) {
        if (codeOf(thrown) !== "STORE_CONFLICT" || looks === maxLooks) throw thrown;
      }
    }
  };
  /**
   * A failure that may pass leaves the message refused with AR, for its sender to repeat; where that one has been answered and never
   * will, it is tried again here.
   */
  const attempt = async (message: SpooledMessage, isAnswered: () => boolean): Promise<Verdict> => {
    for (let tries = 1; ; tries += 1) {
      const started = performance.now();
      try {
        return await settleAtLast(message, started);
      } catch (thrown) {
        const [code, reason, isLate] = [codeOf(thrown), reasonOf(thrown), isAnswered()];
        if (!isLate || tries >= (maxTries[code] ?? 1))
          return await refuse(message, thrown, started, isLate).catch(
            (unkept: unknown): Verdict => ({ accepted: false, code: codeOf(unkept), reason: reasonOf(unkept) }),
          );
        const { id, facts } = message;
        log("validate.deferred", { controlId: facts.controlId, message: id, code, reason, attempt: tries }, "warn");
        await pace.rest(retryMs);
        // What a stop leaves is taken up at the next start.
        if (site.signal.aborted) return { accepted: true };
      }
    }
  };
  const run = ({ id, turn }: Pick<SpooledMessage, "id" | "turn">, verdict: Promise<Verdict>): Promise<Verdict> => {
    const kept = verdict.finally(() => {
      running.delete(id);
      turn.leave();
    });
    running.set(id, kept);
    return kept;
  };

  /** One connection after the other, and everything else that is ready between: documents take milliseconds each. */
  const takeInTurn = async (message: SpooledMessage): Promise<Settled> => {
    const leave = await judging.enter(message.sender);
    try {
      await pace.turn();
      return await take(message);
    } finally {
      leave();
    }
  };
  const draft = async (message: SpooledMessage, taken: Promise<Settled>, started: number): Promise<Foreseen> => {
    const { id, system, facts } = message;
    const { channel, state, code, changes, bodies, frame, begin } = await taken;
    const fields = { peer: system, detail: "AA", ms: performance.now() - started, code: code ?? null };
    const findings = findingsOf(message.bytes, facts);
    return {
      row: { state, channel, code: code ?? null, reason: null },
      bodies,
      frame,
      verdict: { accepted: true },
      changes: [
        ...changes,
        ...findings.map((finding) => step(site, id, "source", "warned", { peer: system, code: finding })),
        step(site, id, "source", state === "done" ? "accepted" : "filtered", fields),
      ],
      begin: () => {
        begin();
        const { controlId } = facts;
        for (const finding of findings) log("source.warned", { controlId, message: id, code: finding });
        if (code) log(`filter.${state}`, { controlId, message: id, code });
      },
    };
  };
  const settleOne = async (message: SpooledMessage, started: number): Promise<Verdict> => {
    const { row, changes, bodies = [], frame, verdict, begin } = await draft(message, takeInTurn(message), started);
    await withBodies(bodies, async () => {
      const less = frame ? await instead(message.id, frame) : { changes: [] };
      const { blob } = less;
      const settled = store.arrivals.settle(message.id, { ...row, ...(blob && { blob }) });
      await store.commit([...changes, ...less.changes, settled], [], true);
    });
    begin();
    return verdict;
  };
  /** What is kept in place of the message as it was spooled. */
  const instead = async (id: Id, frame: Uint8Array): Promise<{ changes: readonly Change[]; blob?: BlobName }> => {
    const spooled = store.arrivals.find(id)?.blob;
    if (!spooled) return { changes: [] };
    const blob = await stageMessage(store, store.newId(), frame);
    const dropped = blob.name === spooled ? [] : [store.blobs.drop(spooled)];
    return { changes: [blob.change, ...dropped], blob: blob.name };
  };

  const refusal = (
    { id, system, facts }: Parameters<Verdicts["refuse"]>[0],
    thrown: unknown,
    started: number,
    isAnswered: boolean,
  ): Foreseen => {
    const [code, reason] = [codeOf(thrown), reasonOf(thrown)];
    const [event, level] = isAnswered ? (["quarantined", "error"] as const) : (["refused", "warn"] as const);
    const fields = { peer: system, detail: consequence(thrown).hl7, ms: performance.now() - started, code };
    log(`validate.${event}`, { controlId: facts.controlId, message: id, code, reason }, level);
    return {
      row: { state: "refused", channel: null, code, reason },
      changes: [
        step(site, id, "source", event, fields),
        ...store.audit.add({ event: "message", outcome: "refused", subject: id, peer: system, code, reason }),
      ],
      verdict: { accepted: false, code, reason },
      begin: () => undefined,
    };
  };
  const refuse: Verdicts["refuse"] = async (message, thrown, started, isAnswered) => {
    const { row, changes, verdict } = refusal(message, thrown, started, isAnswered);
    const { channel: _kept, ...columns } = row;
    await store.commit([...changes, store.arrivals.settle(message.id, columns)]);
    return verdict;
  };

  return {
    foresee: (message) => draft(message, take(message), performance.now()).catch(() => undefined),
    judgeFirst: async (message) => {
      await message.turn.ready;
      const started = performance.now();
      return await draft(message, takeInTurn(message), started).catch((thrown: unknown) =>
        refusal(message, thrown, started, false),
      );
    },
    running: (id) => running.get(id),
    // Two copies of one message may come at once: one verdict serves both.
    judge: (message, isAnswered = () => false) => {
      const known = running.get(message.id);
      if (!known)
        return run(
          message,
          message.turn.ready.then(() => attempt(message, isAnswered)),
        );
      message.turn.leave();
      return known;
    },
    judgeLater: (message, read) => {
      const { id, bytes, ...head } = message;
      const size = bytes.length;
      const since = pace.now();
      const isHeld = size <= maxHeldEachBytes && held + size <= maxHeldBytes;
      if (isHeld) held += size;
      let kept = isHeld ? bytes : undefined;
      // Its turn first, then one of the few places: who waits for another must not stand in its way.
      const verdict = message.turn.ready
        .then(() => later.enter(""))
        .then(async (leave) => {
          try {
            await pace.quiet(since);
            // What a stop leaves is taken up at the next start.
            if (site.signal.aborted) return { accepted: true };
            return await attempt({ id, ...head, bytes: kept ?? (await read()) }, () => true);
          } finally {
            if (isHeld) held -= size;
            kept = undefined;
            leave();
          }
        });
      run(message, verdict).catch((thrown: unknown) =>
        log("validate.unread", { message: id, code: codeOf(thrown), reason: reasonOf(thrown) }, "error"),
      );
    },
    refuse,
  };
}
