/** Storage commitment as SCP (PS3.4 J.3): a request is answered, then reported on its association, else on one of our own. */
import { codeOf, Fault, reasonOf } from "../../errors.ts";
import type { Context } from "../connector.ts";
import { commitmentClass, explicitLittle, implicitLittle } from "./association.ts";
import {
  type CommitmentReport,
  type CommitmentRequest,
  commitmentInstance,
  eventTypeOf,
  eventTypes,
  failureReasons,
  readCommitmentReport,
  readCommitmentRequest,
  requestAction,
  transactions,
  writeCommitmentReport,
} from "./commitment.ts";
import {
  type CommandElements,
  type CommandSet,
  commands,
  element,
  numberOf,
  status,
  textOf,
  writeCommand,
} from "./dimse.ts";
import { openAssociation } from "./requestor.ts";
import type { ScpOptions } from "./scp.ts";
import type { Answer, Asked } from "./services.ts";

/** Requests whose report is not accepted yet, of one listener. */
const maxUnreported = 1_000;
/** Reports under way on one association. */
const maxReports = 16;
/** The pause between attempts doubles up to this, and ends after this many attempts: more than a day. */
const maxPauseSeconds = 600;
const maxAttempts = 200;

/** A place to report to on an association of our own. */
export type ReportTo = { readonly host: string; readonly port: number; readonly aeTitle: string };
/** Tells a report on the association that asked; false: it is over, or the peer did not accept it. */
type Tell = (report: CommitmentReport) => Promise<boolean>;
export type Commitments = {
  /** Room for one more; false: too many are not reported yet. */
  reserve(): boolean;
  /** What was reserved: looks, and reports until it is accepted. */
  report(request: CommitmentRequest, sender: string, tell: Tell, to: ReportTo | undefined): void;
};

/** The storage commitments of one listener; what is not reported when the process ends is asked again by the peer. */
export function openCommitments(settings: ScpOptions, { commit, log, signal }: Context): Commitments {
  let unreported = 0;

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

  const report = async (request: CommitmentRequest, sender: string, tell: Tell, to: ReportTo | undefined) => {
    const found = await look(request, sender).catch((thrown: unknown): CommitmentReport => {
      log("commitment.failed", { peer: sender, code: codeOf(thrown), reason: reasonOf(thrown) }, "error");
      const failed = request.references.map((each) => ({ ...each, reason: failureReasons.processingFailure }));
      return { transactionUid: request.transactionUid, committed: [], failed };
    });
    if (!(await tell(found)) && !(await tellAnew(found, sender, to))) return;
    const missing = found.failed.length > 0 ? { reason: `${found.failed.length} are not here` } : {};
    log("commitment.reported", { peer: sender, count: found.committed.length, ...missing });
  };

  const tellAnew = async (found: CommitmentReport, peer: string, to: ReportTo | undefined): Promise<boolean> => {
    let pause = settings.commitmentRetrySeconds;
    for (let attempt = 1; to && attempt <= maxAttempts && !signal.aborted; attempt += 1) {
      try {
        await reportAt(settings, to, found, signal);
        return true;
      } catch (thrown) {
        log("commitment.deferred", { peer, code: codeOf(thrown), reason: reasonOf(thrown), attempt }, "warn");
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

  return {
    reserve: () => {
      if (unreported >= maxUnreported) return false;
      unreported += 1;
      return true;
    },
    report: (request, sender, tell, to) =>
      void report(request, sender, tell, to).finally(() => {
        unreported -= 1;
      }),
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
const eventReport = (messageId: number, report: CommitmentReport): CommandElements => [
  [element.affectedSopClass, commitmentClass],
  [element.commandField, commands.eventReportRq],
  [element.messageId, messageId],
  [element.dataSetType, 1],
  [element.affectedSopInstance, commitmentInstance],
  [element.eventTypeId, eventTypeOf(report)],
];

export type Reports = {
  send(report: CommitmentReport, contextId: number, transferSyntax: string): Promise<boolean>;
  answered(messageId: number, status: number): void;
  /** The association ends: what is not answered will not be. */
  end(): void;
};

/** Our own requests on an association that a peer opened. */
export function openReports({ send, isEstablished, settings }: Asked): Reports {
  const waiting = new Map<number, (isAccepted: boolean) => void>();
  let messageId = 0;
  return {
    send: async (report, contextId, transferSyntax) => {
      if (!isEstablished() || waiting.size >= maxReports) return false;
      messageId = (messageId % 65_535) + 1;
      const id = messageId;
      const answer = new Promise<boolean>((resolve) => {
        const timer = setTimeout(() => resolve(false), settings.idleSeconds * 1000);
        waiting.set(id, (isAccepted) => {
          clearTimeout(timer);
          resolve(isAccepted);
        });
      });
      send(contextId, writeCommand(eventReport(id, report)), writeCommitmentReport(report, transferSyntax));
      return await answer.finally(() => waiting.delete(id));
    },
    answered: (id, code) => waiting.get(id)?.(code === status.success),
    end: () => {
      for (const settle of waiting.values()) settle(false);
    },
  };
}

/** N-ACTION-RQ: request storage commitment (PS3.4 J.3.2). */
export function serveAction(asked: Asked, set: CommandSet, bytes: Buffer, transferSyntax: string, tell: Tell): Answer {
  const { caller, commitments, context, peer, request, settings } = asked;
  if (textOf(set, element.requestedSopClass) !== commitmentClass) return { status: status.noSuchClass };
  if (textOf(set, element.requestedSopInstance) !== commitmentInstance) return { status: status.noSuchInstance };
  if (numberOf(set, element.actionTypeId) !== requestAction) return { status: status.noSuchAction };
  const asks = readOr(() => readCommitmentRequest(bytes, transferSyntax), asked);
  if (typeof asks === "number") return { status: asks };
  if (!context.commit) return { status: status.processingFailure };
  const place = caller.commitmentTo ?? settings.commitmentTo;
  const to = place && { ...place, aeTitle: request.callingAeTitle };
  if (!commitments.reserve()) return { status: status.resourceLimitation };
  context.log("commitment.requested", { peer, count: asks.references.length });
  // Looked for once it is answered: all that was stored before on this association is durable by then.
  return { status: status.success, after: () => commitments.report(asks, peer, tell, to) };
}

/** N-EVENT-REPORT-RQ: a peer reports what we asked it to commit (PS3.4 J.3.3). */
export function serveEventReport(asked: Asked, set: CommandSet, bytes: Buffer, transferSyntax: string): Answer {
  if (textOf(set, element.affectedSopClass) !== commitmentClass) return { status: status.noSuchClass };
  const type = numberOf(set, element.eventTypeId);
  if (type !== eventTypes.allCommitted && type !== eventTypes.failuresExist) return { status: status.noSuchEventType };
  const report = readOr(() => readCommitmentReport(bytes, transferSyntax), asked);
  if (typeof report === "number") return { status: report };
  // One that nobody waits for any more: the request will be repeated under another transaction.
  return { status: transactions.settle(report) ? status.success : status.invalidArgument };
}

/** What was read, or the status that says why it was not. */
function readOr<T>(read: () => T, { context, peer }: Asked): T | number {
  try {
    return read();
  } catch (thrown) {
    const code = codeOf(thrown);
    context.log("commitment.refused", { peer, code, reason: reasonOf(thrown) }, "warn");
    return code === "TOO_LARGE" ? status.resourceLimitation : status.invalidArgument;
  }
}
