/** One connection of a listener: frames in, answers out in the order of the frames, and reading only while there is room. */
import type { Socket } from "node:net";
import { codeOf, reasonOf } from "../../errors.ts";
import type { Context, Deliver, HeldBudget, Verdict } from "../connector.ts";
import { answersOf, commitByte, refusal, refusalByte, type Taken } from "./answer.ts";
import { type Frame, frameOf, openFramer } from "./framer.ts";

/** Messages of one connection that may wait for their verdict at once. */
const maxUnanswered = 64;
/** Answers that a peer has not read: beyond this nothing more is read from it. */
const maxUnreadBytes = 1024 * 1024;
/** An open frame has to grow by this much a second to stay open. */
const minBytesPerSecond = 4096;
/** How long a peer may take to close after everything was answered. */
const lingerMs = 1_000;
const keepAliveMs = 60_000;

export type ConnectionSettings = {
  readonly maxBytes: number;
  readonly frameSeconds: number;
  readonly idleSeconds?: number | undefined;
  readonly charset: string;
  readonly release: 1 | 2;
};

export type Connection = {
  /** Nothing that came on it was ever accepted, and nothing is under way: it may be anybody's, and loses nothing by its end. */
  isStranger(): boolean;
  /** Takes no further frame, answers what was taken, then closes. What came of an open frame is not answered: it comes again. */
  drain(): void;
};

/** Serves a connection until its peer ends it, it breaks the rules, or it is drained. */
export function serve(
  socket: Socket,
  peer: string,
  settings: ConnectionSettings,
  budget: HeldBudget,
  deliver: Deliver,
  { log }: Pick<Context, "log">,
): Connection {
  const framer = openFramer(settings.maxBytes);
  let answers: Promise<void> = Promise.resolve();
  let unanswered = 0;
  let unansweredBytes = 0;
  let noise = 0;
  let stray = 0;
  let isDraining = false;
  let isKnown = false;
  const know = ({ accepted }: Verdict): void => {
    isKnown = isKnown || accepted;
  };
  const heard: Deliver = async (arrival) => {
    const delivered = await deliver(arrival);
    delivered.answer.then(know, () => undefined);
    return delivered;
  };
  const warn = (reason: string): void => log("mllp.warned", { peer, reason }, "warn");
  const answering = { peer, charset: settings.charset, release: settings.release, deliver: heard, warn };

  const steer = (): void => {
    const isFull = unanswered >= maxUnanswered || share.isOver() || socket.writableLength > maxUnreadBytes;
    if (isFull && !socket.isPaused()) socket.pause();
    else if (!isFull && socket.isPaused()) socket.resume();
  };
  const share = budget.open(steer);
  const account = (): void => {
    share.hold(unansweredBytes + framer.held());
    if (!socket.destroyed) steer();
  };
  const closeWhenAnswered = (): void => {
    answers = answers.then(() => {
      socket.end();
      setTimeout(() => socket.destroy(), lingerMs).unref();
    });
  };

  const write = (answer: Uint8Array): void => {
    if (!socket.destroyed) socket.write(frameOf(answer));
  };
  const take = (frame: Taken): void => {
    unanswered += 1;
    unansweredBytes += frame.bytes.length;
    const answered = answersOf(frame, answering)[Symbol.asyncIterator]();
    // Begun now, so that what comes after waits for none of it but its turn to be written.
    let next = answered.next();
    next.catch(() => undefined);
    const { length } = frame.bytes;
    answers = answers
      .then(async () => {
        for (let answer = await next; !answer.done; answer = await next) {
          write(answer.value);
          next = answered.next();
        }
      })
      .catch((thrown: unknown) =>
        log("mllp.unanswered", { peer, code: codeOf(thrown), reason: reasonOf(thrown) }, "error"),
      )
      .then(() => {
        unanswered -= 1;
        unansweredBytes -= length;
        account();
      });
  };
  const takeBroken = (frame: Extract<Frame, { kind: "broken" }>): void => {
    log("mllp.broken", { peer, code: "HL7_MALFORMED", reason: frame.reason, bytes: frame.bytes.length }, "warn");
    take(frame);
  };
  /** What had come of an open frame is kept for a person, as every broken frame is. */
  const takeRest = (): void => {
    for (const frame of framer.end()) if (frame.kind === "broken") takeBroken(frame);
  };

  // A connection may be quiet for days between messages, never inside one, nor after octets that begin none.
  let progress: NodeJS.Timeout | undefined;
  let heldBefore = 0;
  const watch = (isNoisy: boolean): void => {
    if (!framer.isOpen() && !isNoisy) forget();
    else if (!progress) {
      heldBefore = framer.held();
      progress = setTimeout(look, settings.frameSeconds * 1000);
    }
  };
  const look = (): void => {
    progress = undefined;
    const hasGrown = framer.held() - heldBefore >= minBytesPerSecond * settings.frameSeconds;
    if (socket.isPaused() || (framer.isOpen() && hasGrown)) {
      watch(true);
      return;
    }
    log(
      "mllp.cut",
      { peer, code: "HL7_MALFORMED", reason: "no whole frame came within frameSeconds; check the sender's framing" },
      "warn",
    );
    takeRest();
    answers = answers.then(() => void socket.destroySoon());
  };

  const isTransportByte = (bytes: Uint8Array): boolean =>
    settings.release === 2 && bytes.length === 1 && (bytes[0] === commitByte || bytes[0] === refusalByte);
  const tooLarge = (head: Uint8Array): void => {
    const reason = `the message is over ${settings.maxBytes} octets; raise mllp.maxBytes or send less`;
    log("mllp.refused", { peer, code: "TOO_LARGE", reason }, "warn");
    isDraining = true;
    const told = refusal(reason, settings, head);
    answers = answers.then(() => write(told));
    closeWhenAnswered();
  };
  /** A frame that came whole makes room for another, which is younger than the timer. */
  const forget = (): void => {
    clearTimeout(progress);
    progress = undefined;
  };
  const onData = (chunk: Buffer): void => {
    // What comes after the end is read and dropped, unanswered: the peer sends it again.
    if (isDraining) return;
    const frames = framer.push(chunk);
    if (frames.length > 0) forget();
    for (const frame of frames) {
      if (frame.kind === "oversize") {
        tooLarge(frame.head);
        return;
      }
      if (frame.kind === "broken") takeBroken(frame);
      else if (!isTransportByte(frame.bytes)) take(frame);
    }
    const isNoisy = framer.stray() > stray;
    stray = framer.stray();
    if (framer.noise() > noise) {
      noise = framer.noise();
      log("mllp.skipped", { peer, bytes: noise, reason: "octets outside frames" }, "debug");
    }
    account();
    watch(isNoisy);
  };

  socket.setKeepAlive(true, keepAliveMs);
  if (settings.idleSeconds !== undefined) socket.setTimeout(settings.idleSeconds * 1000);
  socket
    .on("data", onData)
    .on("drain", steer)
    .on("error", () => undefined)
    .on("timeout", () => {
      if (unanswered > 0 || framer.isOpen()) return;
      log("mllp.idle", { peer, reason: "nothing came within idleSeconds" }, "debug");
      closeWhenAnswered();
    })
    .on("end", () => {
      clearTimeout(progress);
      takeRest();
      answers = answers.then(() => void socket.end());
    })
    .on("close", () => {
      clearTimeout(progress);
      framer.end();
      account();
      // What it has sent is held until it is kept: a flood that hangs up would else be let in at once.
      void answers.then(() => share.close());
    });
  return {
    isStranger: () => !isKnown && unanswered === 0 && !framer.isOpen(),
    drain: () => {
      if (isDraining) return;
      isDraining = true;
      clearTimeout(progress);
      // A frame that we broke off ourselves is no fault of its sender's, which would not repeat it after an AE.
      framer.end();
      closeWhenAnswered();
    },
  };
}
