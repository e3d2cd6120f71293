/** Storage commitment as SCP (PS3.4 J.3): a request is answered, then reported on its association, else on one of our own. */
import { codeOf, reasonOf } from "../../errors.ts";
import { commitmentClass } from "./association.ts";
import {
  type CommitmentReport,
  commitmentInstance,
  eventTypes,
  readCommitmentReport,
  readCommitmentRequest,
  requestAction,
  transactions,
  writeCommitmentReport,
} from "./commitment.ts";
import { eventReport, type Tell } from "./commitment-owed.ts";
import { type CommandSet, element, numberOf, status, textOf, writeCommand } from "./dimse.ts";
import type { Answer, Asked } from "./services.ts";

/** Reports under way on one association. */
const maxReports = 16;

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
export async function serveAction(
  asked: Asked,
  set: CommandSet,
  bytes: Buffer,
  transferSyntax: string,
  tell: Tell,
): Promise<Answer> {
  const { caller, commitments, context, peer, request, settings } = asked;
  if (textOf(set, element.requestedSopClass) !== commitmentClass) return { status: status.noSuchClass };
  if (textOf(set, element.requestedSopInstance) !== commitmentInstance) return { status: status.noSuchInstance };
  if (numberOf(set, element.actionTypeId) !== requestAction) return { status: status.noSuchAction };
  const asks = readOr(() => readCommitmentRequest(bytes, transferSyntax), asked);
  if (typeof asks === "number") return { status: asks };
  if (!context.commit) return { status: status.processingFailure };
  const place = caller.commitmentTo ?? settings.commitmentTo;
  const to = place && { ...place, aeTitle: request.callingAeTitle };
  const report = await commitments.take(asks, peer, to).catch((thrown: unknown) => {
    context.log("commitment.refused", { peer, code: codeOf(thrown), reason: reasonOf(thrown) }, "error");
    return undefined;
  });
  if (!report) return { status: status.resourceLimitation };
  context.log("commitment.requested", { peer, count: asks.references.length });
  // Looked for once it is answered: all that was stored before on this association is durable by then.
  return { status: status.success, after: () => report(tell) };
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
