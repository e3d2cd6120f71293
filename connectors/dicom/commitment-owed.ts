/** Reports of storage commitment that are owed (PS3.4 J.3.3): each request is looked up, and reported until that is accepted, over restarts. */
import { codeOf, Fault, reasonOf } from "../../errors.ts";
import type { Context, Pledge, Settle } from "../connector.ts";
import { commitmentClass, explicitLittle, implicitLittle } from "./association.ts";
import {
  type CommitmentReport,
  type CommitmentRequest,
  commitmentInstance,
  eventTypeOf,
  failureReasons,
  writeCommitmentReport,
} from "./commitment.ts";
import { type CommandElements, commands, element, status } from "./dimse.ts";
import { openAssociation } from "./requestor.ts";
import type { ScpOptions } from "./scp.ts";
import { openTurns } from "./turns.ts";

/** Requests whose report is not accepted yet, of one listener. */
const maxUnreported = 1_000;
/** The pause between attempts doubles up to this, and ends after this many attempts: more than a day. */
const maxPauseSeconds = 600;
const maxAttempts = 200;

/** Associations that report at one place at once: a PACS may allow few, and after a restart many are owed. */
const maxReporting = 4;

/** A place to report to on an association of our own. */
export type ReportTo = Pledge["to"];
/** Tells a report on the association that asked; false: it is over, or the peer did not accept it. */
export type Tell = (report: CommitmentReport) => Promise<boolean>;
export type Commitments = {
  /**
   * Takes a request: what comes back looks, and reports until that is accepted. Undefined: too many are not reported yet. Where
   * there is a place to report to, the request is on stable storage when this resolves, and outlives the process.
   */
  take(
    request: CommitmentRequest,
    sender: string,
    to: ReportTo | undefined,
  ): Promise<((tell: Tell) => void) | undefined>;
};

/** The storage commitments of one listener, with those that the process before left without a report. */
export function openCommitments(settings: ScpOptions, { commit, log, pledges, signal }: Context): Commitments {
  let unreported = 0;
  const turns = openTurns();

  const look = async ({ transactionUid, references }: CommitmentRequest, sender: string): Promise<CommitmentReport> => {
    const failures = await commit?.({ transactionUid, sender, references });
    const results = references.map((each, index) => ({
      ...each,
      reason: failures === undefined ? failureReasons.processingFailure : failures[index],
    }));
    return {
      transactionUid,
      committed: results
        .filter(({ reason }) => reason === null)
        .map(({ sopClassUid, sopInstanceUid }) => ({ sopClassUid, sopInstanceUid })),
      failed: results.flatMap(({ reason, ...each }) =>
        reason === null ? [] : [{ ...each, reason: reason ?? failureReasons.processingFailure }],
      ),
    };
  };

  /** Whether nothing is owed any more: it was accepted, or given up. A process that ends has not given up. */
  const report = async (request: CommitmentRequest, sender: string, tell: Tell, to: ReportTo | undefined) => {
    const found = await look(request, sender).catch((thrown: unknown): CommitmentReport => {
      log("commitment.failed", { peer: sender, code: codeOf(thrown), reason: reasonOf(thrown) }, "error");
      const failed = request.references.map((each) => ({ ...each, reason: failureReasons.processingFailure }));
      return { transactionUid: request.transactionUid, committed: [], failed };
    });
    if (!(await tell(found)) && !(await tellAnew(found, sender, to))) return !signal.aborted;
    const missing = found.failed.length > 0 ? { reason: `${found.failed.length} are not here` } : {};
    log("commitment.reported", { peer: sender, count: found.committed.length, ...missing });
    return true;
  };

  const tellAnew = async (found: CommitmentReport, peer: string, to: ReportTo | undefined): Promise<boolean> => {
    let pause = settings.commitmentRetrySeconds;
    for (let attempt = 1; to && attempt <= maxAttempts && !signal.aborted; attempt += 1) {
      const leave = await turns.enter(`${to.aeTitle}@${to.host}:${to.port}`, maxReporting);
      try {
        await reportAt(settings, to, found, signal);
        return true;
      } catch (thrown) {
        log("commitment.deferred", { peer, code: codeOf(thrown), reason: reasonOf(thrown), attempt }, "warn");
      } finally {
        leave();
      }
      await rest(pause, signal);
      pause = Math.min(pause * 2, maxPauseSeconds);
    }
    const reason = to
      ? "it never accepted the report"
      : "nowhere to report: callers[].commitmentTo or connect says where";
    if (!signal.aborted) log("commitment.unreported", { peer, code: "PEER_UNREACHABLE", reason }, "error");
    return false;
  };

  const owe = async (asks: CommitmentRequest, sender: string, to: ReportTo | undefined, tell: Tell, settle: Settle) => {
    try {
      if (await report(asks, sender, tell, to)) await settle();
    } catch (thrown) {
      // Reported and not noted: the next process reports it again.
      log("commitment.failed", { peer: sender, code: codeOf(thrown), reason: reasonOf(thrown) }, "error");
    } finally {
      unreported -= 1;
    }
  };

  for (const { pledge, settle } of pledges?.left() ?? []) {
    unreported += 1;
    void owe(pledge.commitment, pledge.commitment.sender, pledge.to, async () => false, settle);
  }
  return {
    take: async (asks, sender, to) => {
      if (unreported >= maxUnreported) return undefined;
      unreported += 1;
      try {
        const settle =
          (to && (await pledges?.keep({ commitment: { ...asks, sender }, to }))) ?? (async () => undefined);
        return (tell) => void owe(asks, sender, to, tell, settle);
      } catch (thrown) {
        unreported -= 1;
        throw thrown;
      }
    },
  };
}

/** One attempt on an association of our own, on which we are the SCP (PS3.4 J.3.3, PS3.7 D.3.3.4). */
async function reportAt(
  settings: ScpOptions,
  to: ReportTo,
  report: CommitmentReport,
  signal: AbortSignal,
): Promise<void> {
  const { aeTitle: callingAeTitle, maxPdu, tls } = settings;
  const { host, port, aeTitle: calledAeTitle } = to;
  const syntaxes = [explicitLittle, implicitLittle];
  const contexts = syntaxes.map((syntax, n) => ({
    id: n * 2 + 1,
    abstractSyntax: commitmentClass,
    transferSyntaxes: [syntax],
    isScp: true,
  }));
  const association = await openAssociation(
    {
      host,
      port,
      callingAeTitle,
      calledAeTitle,
      maxPdu,
      connectSeconds: 10,
      responseSeconds: 60,
      ...(tls ? { tls } : {}),
    },
    contexts,
    signal,
  );
  try {
    const context = contexts.find(({ id }) => association.isAccepted(id));
    if (!context)
      throw new Fault("PEER_REFUSED", `${calledAeTitle}@${host}:${port} takes no report of storage commitment`);
    const dataSet = writeCommitmentReport(report, context.transferSyntaxes[0] ?? explicitLittle);
    const code = await association.request(context.id, eventReport(1, report), one(dataSet));
    if (code !== status.success)
      throw new Fault(
        "PEER_REFUSED",
        `${calledAeTitle}@${host}:${port} answered a report with status ${code.toString(16)}`,
      );
  } finally {
    await association.release();
  }
}

async function* one(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

const rest = async (seconds: number, signal: AbortSignal): Promise<void> =>
  await new Promise((resolve) => {
    const done = (): void => {
      clearTimeout(timer);
      signal.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, seconds * 1000);
    signal.addEventListener("abort", done, { once: true });
  });

/** N-EVENT-REPORT-RQ (PS3.7 10.3.1). */
export const eventReport = (messageId: number, report: CommitmentReport): CommandElements => [
  [element.affectedSopClass, commitmentClass],
  [element.commandField, commands.eventReportRq],
  [element.messageId, messageId],
  [element.dataSetType, 1],
  [element.affectedSopInstance, commitmentInstance],
  [element.eventTypeId, eventTypeOf(report)],
];
