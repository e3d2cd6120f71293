/** Storage commitment push model (PS3.4 J.3): its two data sets, and the transactions that wait for a report. */
import { Fault } from "../../errors.ts";
import { type DataSet, type Elements, itemsAt, readDataSet, shortAt, textAt, writeDataSet } from "./data-set.ts";

/** The one instance that every SCP of it has (PS3.4 J.3.5). */
export const commitmentInstance = "1.2.840.10008.1.20.1.1";
/** N-ACTION: request storage commitment (PS3.4 J.3.2). */
export const requestAction = 1;
/** N-EVENT-REPORT: all are committed, or failures exist (PS3.4 J.3.3). */
export const eventTypes = { allCommitted: 1, failuresExist: 2 } as const;
/** Failure Reason (PS3.3 C.14.1.1). */
export const failureReasons = {
  processingFailure: 0x0110,
  noSuchInstance: 0x0112,
  classInstanceConflict: 0x0119,
  classNotSupported: 0x0122,
  duplicateTransaction: 0x0131,
  resourceLimitation: 0x0213,
} as const;

export type Reference = { readonly sopClassUid: string; readonly sopInstanceUid: string };
export type CommitmentRequest = { readonly transactionUid: string; readonly references: readonly Reference[] };
export type CommitmentReport = {
  readonly transactionUid: string;
  readonly committed: readonly Reference[];
  readonly failed: readonly (Reference & { readonly reason: number })[];
};

export const maxReferences = 25_000;
const uid = /^(?=.{1,64}$)[0-9]+(\.[0-9]+)*$/;
const tags = {
  sopClassUid: 0x00081150,
  sopInstanceUid: 0x00081155,
  transactionUid: 0x00081195,
  failureReason: 0x00081197,
  failed: 0x00081198,
  referenced: 0x00081199,
} as const;
const sequences: ReadonlySet<number> = new Set([tags.failed, tags.referenced, 0x00081111]);

/** The data set of an N-ACTION-RQ, in explicit or implicit VR little endian. */
export const writeCommitmentRequest = (
  { transactionUid, references }: CommitmentRequest,
  transferSyntax: string,
): Buffer =>
  writeDataSet(
    [
      [tags.transactionUid, "UI", transactionUid],
      [tags.referenced, "SQ", references.map(elementsOf)],
    ],
    transferSyntax,
  );

/** Reads the data set of an N-ACTION-RQ. DICOM_INVALID where a UID is missing or none, nothing is referenced, or too much. */
export function readCommitmentRequest(bytes: Buffer, transferSyntax: string): CommitmentRequest {
  const set = readDataSet(bytes, transferSyntax, sequences);
  const references = limited(itemsAt(set, tags.referenced)).map(referenceOf);
  if (references.length === 0) throw new Fault("DICOM_INVALID", "a commitment request that refers to no instance");
  return { transactionUid: uidAt(set, tags.transactionUid), references };
}

/** The data set of an N-EVENT-REPORT-RQ; a sequence without items is left out (PS3.4 Table J.3-2). */
export const writeCommitmentReport = (
  { transactionUid, committed, failed }: CommitmentReport,
  transferSyntax: string,
): Buffer =>
  writeDataSet(
    [
      [tags.transactionUid, "UI", transactionUid],
      ...(failed.length > 0
        ? ([
            [
              tags.failed,
              "SQ",
              failed.map((each): Elements => [...elementsOf(each), [tags.failureReason, "US", each.reason]]),
            ],
          ] as const)
        : []),
      ...(committed.length > 0 ? ([[tags.referenced, "SQ", committed.map(elementsOf)]] as const) : []),
    ],
    transferSyntax,
  );

/** Reads the data set of an N-EVENT-REPORT-RQ. DICOM_INVALID as for a request, and where a failure has no reason. */
export function readCommitmentReport(bytes: Buffer, transferSyntax: string): CommitmentReport {
  const set = readDataSet(bytes, transferSyntax, sequences);
  const failed = limited(itemsAt(set, tags.failed)).map((each) => {
    const reason = shortAt(each, tags.failureReason);
    if (reason === undefined) throw new Fault("DICOM_INVALID", "a commitment that failed without a Failure Reason");
    return { ...referenceOf(each), reason };
  });
  const committed = limited(itemsAt(set, tags.referenced)).map(referenceOf);
  if (committed.length + failed.length === 0)
    throw new Fault("DICOM_INVALID", "a commitment report that refers to no instance");
  return { transactionUid: uidAt(set, tags.transactionUid), committed, failed };
}

/** The event type that goes with a report. */
export const eventTypeOf = ({ failed }: CommitmentReport): number =>
  failed.length === 0 ? eventTypes.allCommitted : eventTypes.failuresExist;

const elementsOf = ({ sopClassUid, sopInstanceUid }: Reference): Elements => [
  [tags.sopClassUid, "UI", sopClassUid],
  [tags.sopInstanceUid, "UI", sopInstanceUid],
];

const referenceOf = (set: DataSet): Reference => ({
  sopClassUid: uidAt(set, tags.sopClassUid),
  sopInstanceUid: uidAt(set, tags.sopInstanceUid),
});

function uidAt(set: DataSet, tag: number): string {
  const value = textAt(set, tag);
  if (!uid.test(value)) throw new Fault("DICOM_INVALID", "a storage commitment with a UID that is none");
  return value;
}

function limited(items: readonly DataSet[]): readonly DataSet[] {
  if (items.length > maxReferences)
    throw new Fault("TOO_LARGE", `more than ${maxReferences} instances in a commitment`);
  return items;
}

/** By SOP Instance UID: null where it is committed, else its Failure Reason. */
export type CommitmentOutcome = ReadonlyMap<string, number | null>;

export type Transactions = {
  /** Resolves with what the peer reports, or with undefined when it has not within `ms`. Call it before the request is sent. */
  expect(transactionUid: string, ms: number): Promise<CommitmentOutcome | undefined>;
  /** A report came, on whatever association; false: nobody waits for it. */
  settle(report: CommitmentReport): boolean;
};

const maxTransactions = 10_000;

/** Transactions that were asked for and are not reported yet. */
export function openTransactions(): Transactions {
  const waiting = new Map<string, (outcome: CommitmentOutcome | undefined) => void>();
  return {
    expect: async (transactionUid, ms) => {
      if (waiting.size >= maxTransactions)
        throw new Fault("TOO_LARGE", `more than ${maxTransactions} storage commitments wait for a report`);
      return await new Promise((resolve) => {
        const end = (outcome: CommitmentOutcome | undefined): void => {
          clearTimeout(timer);
          waiting.delete(transactionUid);
          resolve(outcome);
        };
        const timer = setTimeout(() => end(undefined), ms);
        waiting.set(transactionUid, end);
      });
    },
    settle: ({ transactionUid, committed, failed }) => {
      const end = waiting.get(transactionUid);
      end?.(
        new Map<string, number | null>([
          ...committed.map(({ sopInstanceUid }) => [sopInstanceUid, null] as const),
          ...failed.map(({ sopInstanceUid, reason }) => [sopInstanceUid, reason] as const),
        ]),
      );
      return end !== undefined;
    },
  };
}

/** Those of this process: a PACS may report on an association of its own, to a listener that did not ask. UIDs are ours and random. */
export const transactions: Transactions = openTransactions();
