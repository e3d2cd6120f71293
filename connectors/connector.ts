/**
 * What every connector is: one value with a name, a summary, its options as a schema, an example, and one verb.
 * A connector knows one protocol and nothing of channels, envelopes or storage; it never retries and never queues.
 */
import type { z } from "zod";
import type { ErrorCode, Fault } from "../errors.ts";
import type { Log } from "../log.ts";

/** What a source hands over: bytes as they come off the wire, and what the wire said about them. */
export type Arrival = {
  /** Of an instance each piece is the reader's until it asks for the next one. */
  readonly body: AsyncIterable<Uint8Array>;
  /** `application/octet-stream`: bytes that broke the protocol's framing; to be kept for a person, never taken for a message. */
  readonly mediaType:
    | "application/hl7-v2"
    | "application/dicom"
    | "application/vnd.semrs.envelope"
    | "application/octet-stream";
  /** The protocol's own identifier: MSH-10, SOP Instance UID, or envelope id. */
  readonly controlId: string;
  /** Who sent it, as the protocol names them: host:port, AE title, or certificate subject. */
  readonly sender: string;
  /** What the wire found wrong with what it hands over whole: it is kept for a person and refused with this. */
  readonly fault?: Fault;
  /** The association it came on: a study may go on as long as one that sent to it is open. */
  readonly session?: Session;
};

export type Session = { readonly id: string; readonly ended: Promise<void> };

/** What became of an arrival: accepted, or refused with a code that every protocol can say, and a reason for people. */
export type Verdict = { readonly accepted: boolean; readonly code?: ErrorCode; readonly reason?: string };

/**
 * Resolves once the arrival is safe on disk (`stored`); `answer` resolves with the verdict the channel was
 * configured to give. A source answers its peer from nothing else. Rejects with a `Fault`. `done` resolves when nobody reads
 * the octets of the body any more; without it nobody can tell.
 */
export type Deliver = (arrival: Arrival) => Promise<{
  readonly duplicate: boolean;
  readonly answer: Promise<Verdict>;
  readonly done?: Promise<unknown>;
}>;

/** A request for storage commitment (PS3.4 J.3.2): what a peer wants to be answerable for no longer. */
export type Commitment = {
  readonly transactionUid: string;
  readonly sender: string;
  readonly references: readonly { readonly sopClassUid: string; readonly sopInstanceUid: string }[];
};

/** For each reference null where the instance is durable here, else the Failure Reason (PS3.3 C.14.1.1). */
export type Commit = (commitment: Commitment) => Promise<readonly (number | null)[]>;

/** A request that was answered, and where its report goes when the association that asked is over. */
export type Pledge = {
  readonly commitment: Commitment;
  readonly to: { readonly host: string; readonly port: number; readonly aeTitle: string };
};
/** The report was accepted, or given up: it is owed no longer. */
export type Settle = () => Promise<void>;
/** Reports that are owed, over restarts. */
export type Pledges = {
  /** Resolves when it is on stable storage. */
  keep(pledge: Pledge): Promise<Settle>;
  /** What was not settled when the last process ended. */
  left(): readonly { readonly pledge: Pledge; readonly settle: Settle }[];
};

/** What one connection holds of a budget. */
export type Share = {
  /** How many octets it holds now. */
  hold(bytes: number): void;
  /** Whether it has to wait before it reads more. */
  isOver(): boolean;
  close(): void;
};

/** Octets that connections may hold together. */
export type HeldBudget = {
  /** `changed`: ask again whether to wait. */
  open(changed: () => void): Share;
  /** Whether what another connection reads has room. */
  hasRoom(): boolean;
};

/** Connections that may be open together. */
export type Places = {
  readonly most: number;
  /** A connection has been opened; the function that comes back says that it is closed. */
  take(): () => void;
  /** More are open than may be: the newest is refused. */
  isOver(): boolean;
};

export type Context = {
  readonly log: Log;
  readonly signal: AbortSignal;
  /** Undefined where nobody can answer for what is stored. */
  readonly commit?: Commit;
  /** Undefined where nothing is kept over a restart. */
  readonly pledges?: Pledges;
  /** Octets in flight over all listeners of a site. */
  readonly held?: HeldBudget;
  /** Connections over all listeners of a site. */
  readonly places?: Places;
};

/** A source that listens: `address` is host:port as bound (the port is real even when 0 was asked for). */
export type Running = { readonly address: string; isListening(): boolean; stop(): Promise<void> };

export type Source<S extends z.ZodType = z.ZodType> = {
  readonly name: string;
  readonly summary: string;
  readonly options: S;
  readonly example: string;
  listen(options: z.output<S>, deliver: Deliver, context: Context): Promise<Running>;
};

/** One thing to send: its bytes can be read again from the start for another attempt. */
export type Item = {
  /** MSH-10, SOP Instance UID or envelope id. */
  readonly controlId: string;
  /** Size of the body in octets. */
  readonly size: number;
  body(): AsyncIterable<Uint8Array>;
};

/**
 * What the peer said of one item. `delivered`: it took it (AA/CA, Success or a C-STORE warning, 2xx). `refused`: it said no
 * (`code` tells by `consequenceOf(code).retry` whether to try again). `ambiguous`: written, no answer seen.
 * `detail` is the peer's own code (MSA-1 and ERR-3, a status in hex), never its free text.
 */
export type Outcome =
  | { readonly state: "delivered"; readonly detail?: string }
  | { readonly state: "refused"; readonly code: ErrorCode; readonly reason: string; readonly detail?: string }
  | { readonly state: "ambiguous"; readonly reason: string };

export type Destination<S extends z.ZodType = z.ZodType> = {
  readonly name: string;
  readonly summary: string;
  readonly options: S;
  readonly example: string;
  /**
   * Sends what belongs together (a study, or one message) on one connection; reports each item's outcome as the peer
   * gives it. Rejects with a `Fault` (PEER_UNREACHABLE, PEER_REFUSED …) for what concerns the connection; items not
   * reported then were not sent.
   */
  send(
    options: z.output<S>,
    items: AsyncIterable<Item>,
    report: (item: Item, outcome: Outcome) => void,
    context: Context,
  ): Promise<void>;
};
