/** Storage commitment as SCU (PS3.4 J.3): asks a PACS to answer for instances, and takes its report on the same association or a later one. */
import { randomBytes } from "node:crypto";
import { Fault } from "../../errors.ts";
import { commitmentClass, explicitLittle, implicitLittle } from "./association.ts";
import {
  type CommitmentOutcome,
  commitmentInstance,
  type Reference,
  readCommitmentReport,
  requestAction,
  type Transactions,
  writeCommitmentRequest,
} from "./commitment.ts";
import { commands, element, noDataSet, numberOf, status } from "./dimse.ts";
import type { PeerRequest } from "./inbox.ts";
import { type Association, openAssociation, type Peer } from "./requestor.ts";

/** How long the association stays open for the report where the PACS can also call our listener. */
const sameAssociationSeconds = 5;
/** A context each, so that what is accepted says the syntax. */
const contexts = [explicitLittle, implicitLittle].map((syntax, index) => ({
  id: index * 2 + 1,
  abstractSyntax: commitmentClass,
  transferSyntaxes: [syntax],
}));

const syntaxOf = (contextId: number): string =>
  contexts.find(({ id }) => id === contextId)?.transferSyntaxes[0] ?? implicitLittle;

/**
 * Resolves with each instance's Failure Reason, null where it is committed; an instance that the report leaves out is not
 * committed. Undefined when no report came within `seconds`. DICOM_UNSUPPORTED where the PACS has no storage commitment.
 */
export async function requestCommitment(
  peer: Peer,
  references: readonly Reference[],
  seconds: number,
  transactions: Transactions,
  signal: AbortSignal,
): Promise<CommitmentOutcome | undefined> {
  const association = await openAssociation(peer, contexts, signal);
  const context = contexts.find(({ id }) => association.isAccepted(id));
  if (!context) {
    await association.release();
    throw new Fault("DICOM_UNSUPPORTED", "the PACS does no storage commitment; set proof: response or count");
  }
  const transactionUid = `2.25.${BigInt(`0x${randomBytes(16).toString("hex")}`)}`;
  // Before the request: the report may overtake its response.
  const outcome = transactions.expect(transactionUid, seconds * 1000);
  outcome.catch(() => undefined);
  try {
    const body = once(writeCommitmentRequest({ transactionUid, references }, syntaxOf(context.id)));
    const answer = await association.request(context.id, actionCommand(1), body);
    if (answer !== status.success) throw refusal(answer);
    const hold = peer.ourPort === undefined ? seconds : Math.min(seconds, sameAssociationSeconds);
    await takeReports(association, outcome, hold, transactions);
    await association.release();
  } catch (thrown) {
    association.abort();
    // Nobody waits for it any more.
    transactions.settle({ transactionUid, committed: [], failed: [] });
    throw thrown;
  }
  const told = await outcome;
  return (
    told &&
    new Map(
      references.map(({ sopInstanceUid: uid }) => [
        uid,
        told.get(uid) === undefined ? 0x0110 : (told.get(uid) ?? null),
      ]),
    )
  );
}

/** Reads reports on this association until ours is settled, the time is over or the peer has gone. */
async function takeReports(
  association: Association,
  outcome: Promise<unknown>,
  seconds: number,
  transactions: Transactions,
): Promise<void> {
  const until = performance.now() + seconds * 1000;
  let isSettled = false;
  const settled = outcome.then(() => {
    isSettled = true;
    return undefined;
  });
  while (!isSettled) {
    const left = until - performance.now();
    if (left <= 0) return;
    const asked = await Promise.race([association.asked(left / 1000), settled]);
    if (!asked) return;
    await association.answer(asked.contextId, answerTo(asked, transactions));
  }
}

/** N-EVENT-REPORT-RSP (PS3.7 10.3.1.2); anything else a peer asks for here is no operation of ours. */
function answerTo({ contextId, command, dataSet }: PeerRequest, transactions: Transactions) {
  const isReport = numberOf(command, element.commandField) === commands.eventReportRq;
  let code: number = isReport ? status.success : status.unrecognizedOperation;
  if (isReport) {
    try {
      transactions.settle(readCommitmentReport(dataSet, syntaxOf(contextId)));
    } catch {
      code = status.processingFailure;
    }
  }
  return [
    [element.affectedSopClass, commitmentClass],
    [element.commandField, numberOf(command, element.commandField) | 0x8000],
    [element.respondedTo, numberOf(command, element.messageId)],
    [element.dataSetType, noDataSet],
    [element.status, code],
    [element.affectedSopInstance, commitmentInstance],
    ...(isReport ? ([[element.eventTypeId, numberOf(command, element.eventTypeId)]] as const) : []),
  ] as const;
}

/** N-ACTION-RQ (PS3.7 10.3.5.1). */
const actionCommand = (messageId: number) =>
  [
    [element.requestedSopClass, commitmentClass],
    [element.commandField, commands.actionRq],
    [element.messageId, messageId],
    [element.dataSetType, 0],
    [element.requestedSopInstance, commitmentInstance],
    [element.actionTypeId, requestAction],
  ] as const;

function refusal(answer: number): Fault {
  const detail = answer.toString(16).padStart(4, "0").toUpperCase();
  const code =
    answer === status.resourceLimitation || answer === status.processingFailure ? "PEER_BUSY" : "PEER_REFUSED";
  return new Fault(code, `the PACS answered the request for storage commitment with status ${detail}`);
}

async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}
