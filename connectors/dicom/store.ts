/** C-STORE as SCU: what belongs together on 1 to N associations, each instance in the transfer syntax that it is stored in. */
import { codeOf, Fault, reasonOf } from "../../errors.ts";
import { readMeta } from "../../formats/dicom.ts";
import type { Item, Outcome } from "../connector.ts";
import { explicitLittle, implicitLittle, maxContexts, type ProposedContext, verificationClass } from "./association.ts";
import { isTaken } from "./dimse.ts";
import { followed } from "./outbox.ts";
import { type ReadAhead, readAhead } from "./read-ahead.ts";
import { type Association, openAssociation, type Peer, storeCommand } from "./requestor.ts";
import { openTurns } from "./turns.ts";

/** An instance to send: its body is a Part 10 file whose data set is sent as it stands. */
export type DicomItem = Item & { readonly sopClassUid: string; readonly transferSyntaxUid: string };
export type Report = (item: Item, outcome: Outcome) => void;

/** File Meta Information must be within this. */
const maxMetaBytes = 128 * 1024;
/** Instances of one context in a row that a PACS is too full for (A7xx): the rest of them is not sent to it now. */
export const maxFullInARow = 16;

type Group = { readonly contexts: readonly ProposedContext[]; readonly items: readonly DicomItem[] };
const keyOf = ({ sopClassUid, transferSyntaxUid }: DicomItem): string => `${sopClassUid} ${transferSyntaxUid}`;

/** As many instances as fit the contexts of one association: one context a (SOP class, stored transfer syntax). */
export function groupsOf(items: readonly DicomItem[]): readonly Group[] {
  const byKey = Map.groupBy(items, keyOf);
  const keys = [...byKey.keys()];
  const groups: Group[] = [];
  for (let at = 0; at < keys.length; at += maxContexts) {
    const some = keys.slice(at, at + maxContexts);
    const contexts = some.map((key, index): ProposedContext => {
      const [abstractSyntax = "", transferSyntax = ""] = key.split(" ");
      return { id: index * 2 + 1, abstractSyntax, transferSyntaxes: [transferSyntax] };
    });
    groups.push({ contexts, items: some.flatMap((key) => byKey.get(key) ?? []) });
  }
  return groups;
}

/** `associations` of a PACS are for all that is sent there at once, several studies too. */
const turns = openTurns();

/** Several associations take from one list; one that is lost leaves the rest to the others. */
export async function sendGroup(
  peer: Peer & { readonly associations: number },
  { contexts, items }: Group,
  report: Report,
  signal: AbortSignal,
): Promise<void> {
  const left = [...items].reverse();
  const { told, spared } = sparing(left, report);
  const count = Math.min(peer.associations, left.length);
  const at = `${peer.callingAeTitle} ${peer.calledAeTitle}@${peer.host}:${peer.port}`;
  const open = (leave: () => void): Promise<Opened> =>
    openAssociation(peer, contexts, signal).then(
      (association) => ({ association, leave }),
      (thrown: unknown) => {
        leave();
        throw thrown;
      },
    );
  const refusal = openRefusals(async (sopClassUid) => {
    const leave = await turns.enter(at, peer.associations);
    return await syntaxesOf(peer, sopClassUid, signal).finally(leave);
  }, contexts);
  const enter = async (): Promise<Opened> => await open(await turns.enter(at, peer.associations));
  const first = await enter().catch(async (thrown: unknown) => {
    await echoAfter(thrown, peer, signal);
    // Since the first time it may have come to know us.
    return await enter().catch((again: unknown) =>
      codeOf(again) === "PEER_REFUSED" ? undefined : Promise.reject(again),
    );
  });
  if (!first) {
    for (const item of items)
      report(item, { state: "refused", code: "DICOM_UNSUPPORTED", reason: await refusal(keyOf(item), undefined) });
    return;
  }
  const others = Array.from({ length: count - 1 }, () => turns.enterNow(at, peer.associations))
    .filter((leave) => leave !== undefined)
    .map(open);
  const unaccepted: Unaccepted[] = [];
  const workers = [Promise.resolve(first), ...others].map(async (opening, index) => {
    // A PACS may allow fewer associations than were asked for: the first one carries on.
    const opened = await opening.catch((thrown: unknown) => (index === 0 ? Promise.reject(thrown) : undefined));
    if (opened) await work(opened.association, contexts, left, told, unaccepted).finally(opened.leave);
  });
  const results = await Promise.allSettled(workers);
  // Asked when ours are over: a PACS may serve one at a time.
  for (const { item, result } of unaccepted)
    told(item, { state: "refused", code: "DICOM_UNSUPPORTED", reason: await refusal(keyOf(item), result) });
  const failed = results.find((result) => result.status === "rejected");
  if (failed && left.length > 0) throw failed.reason;
  // Not sent and not reported: without it the rest would pass for all.
  if (spared.length > 0)
    throw new Fault("PEER_BUSY", `the PACS was too full for ${maxFullInARow} in a row; what is left is sent again`);
}

type Told = (item: DicomItem, outcome: Outcome) => void;

/** Takes the rest of a context out of what is left once a PACS is too full for it. */
function sparing(left: DicomItem[], report: Report): { readonly told: Told; readonly spared: readonly DicomItem[] } {
  const spared: DicomItem[] = [];
  const inARow = new Map<string, number>();
  const told: Told = (item, outcome) => {
    report(item, outcome);
    const isTooFull = outcome.state === "refused" && outcome.code === "PEER_BUSY";
    const count = isTooFull ? (inARow.get(keyOf(item)) ?? 0) + 1 : 0;
    inARow.set(keyOf(item), count);
    if (count < maxFullInARow) return;
    for (const each of left.splice(0)) (keyOf(each) === keyOf(item) ? spared : left).push(each);
  };
  return { told, spared };
}

/** An instance whose context the peer did not accept, and its result. */
type Unaccepted = { readonly item: DicomItem; readonly result: number | undefined };

type Opened = { readonly association: Association; readonly leave: () => void };

/** A peer that rejects an association for good, and takes one for C-ECHO, rejects what was offered; else us, and whatever else is sent. */
async function echoAfter(thrown: unknown, peer: Peer, signal: AbortSignal): Promise<void> {
  if (codeOf(thrown) !== "PEER_REFUSED") throw thrown;
  const contexts = [{ id: 1, abstractSyntax: verificationClass, transferSyntaxes: [implicitLittle] }];
  const association = await openAssociation(peer, contexts, signal).catch((cause: unknown) => {
    throw codeOf(cause) === "PEER_REFUSED" ? new Fault("AE_TITLE_UNKNOWN", reasonOf(thrown), { cause }) : cause;
  });
  await association.release();
}

/** `left` ends with what is next. */
async function work(
  association: Association,
  contexts: readonly ProposedContext[],
  left: DicomItem[],
  report: Told,
  unaccepted: Unaccepted[],
): Promise<void> {
  const ids = new Map(
    contexts.map(({ id, abstractSyntax, transferSyntaxes }) => [`${abstractSyntax} ${transferSyntaxes[0]}`, id]),
  );
  let messageId = 0;
  const take = (): Taken | undefined => {
    const item = left.pop();
    if (!item) return undefined;
    const contextId = ids.get(keyOf(item)) ?? 0;
    const isAccepted = association.isAccepted(contextId);
    return { item, contextId, dataSet: isAccepted ? readAhead(dataSetOf(item)) : undefined };
  };
  for (let current = take(); current !== undefined; ) {
    const { item, contextId, dataSet } = current;
    if (!dataSet) {
      unaccepted.push({ item, result: association.resultOf(contextId) });
      current = take();
      continue;
    }
    messageId = (messageId % 65_535) + 1;
    const ahead: { next?: Taken | undefined } = {};
    try {
      const command = storeCommand(messageId, item.sopClassUid, item.controlId);
      // The next one is begun when the last octet of this one is read: while the peer thinks about it.
      const body = followed(dataSet, () => {
        ahead.next = take();
      });
      report(item, outcomeOf(await association.request(contextId, command, body)));
    } catch (thrown) {
      // What was not answered in time may be answered later, to the wrong question: never used again.
      association.abort();
      await dataSet.drop();
      if (ahead.next) left.push(ahead.next.item);
      await ahead.next?.dataSet?.drop();
      if (thrown instanceof Fault && thrown.code !== "PEER_UNREACHABLE") {
        // Not sent and not reported: without it the rest would pass for all.
        left.push(item);
        throw thrown;
      }
      if (association.isAmbiguous())
        report(item, { state: "ambiguous", reason: `the instance was sent and not answered: ${reasonOf(thrown)}` });
      else left.push(item);
      const why = `the association was lost, and what is left is sent again: ${reasonOf(thrown)}`;
      throw new Fault("PEER_UNREACHABLE", why, { cause: thrown });
    }
    // Others may have given back what they had taken.
    current = ahead.next ?? take();
  }
  await association.release();
}

/** `dataSet` is read ahead where the peer accepted its context. */
type Taken = { readonly item: DicomItem; readonly contextId: number; readonly dataSet: ReadAhead | undefined };

/** The data set behind the File Meta Information. */
async function* dataSetOf(item: DicomItem): AsyncGenerator<Uint8Array> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of item.body()) {
    if (!head) {
      yield chunk;
      continue;
    }
    head = head.length === 0 ? Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length) : Buffer.concat([head, chunk]);
    const isEnough = head.length >= Math.min(maxMetaBytes, item.size);
    if (!isEnough) continue;
    yield head.subarray(readMeta(head).offset);
    head = undefined;
  }
  // A body may turn out shorter than its announced size.
  if (head) yield head.subarray(readMeta(head).offset);
}

/** PS3.4 B.2.3: success, warnings (Bxxx: stored), out of resources (A7xx), anything else refused for good. */
function outcomeOf(status: number): Outcome {
  const detail = status.toString(16).padStart(4, "0").toUpperCase();
  if (isTaken(status)) return { state: "delivered", detail };
  const isBusy = status >>> 8 === 0xa7;
  return {
    state: "refused",
    code: isBusy ? "PEER_BUSY" : "PEER_REFUSED",
    reason: `the PACS answered status ${detail}`,
    detail,
  };
}

/** Why the peer takes no instance of a group, and what it would take: asked once a group. */
type Refusals = (key: string, result: number | undefined) => Promise<string>;

/** Transfer syntaxes in use (PS3.6 Annex A), to ask what a peer takes. */
const knownSyntaxes: readonly string[] = [
  implicitLittle,
  explicitLittle,
  "1.2.840.10008.1.2.1.99",
  "1.2.840.10008.1.2.2",
  "1.2.840.10008.1.2.5",
  ...[50, 51, 57, 70, 80, 81, 90, 91, 100, 101, 102, 103, 104, 105, 106, 107, 108].map(
    (n) => `1.2.840.10008.1.2.4.${n}`,
  ),
  ...[201, 202, 203].map((n) => `1.2.840.10008.1.2.4.${n}`),
];

function openRefusals(
  syntaxesOf: (sopClassUid: string) => Promise<readonly string[]>,
  contexts: readonly ProposedContext[],
): Refusals {
  const asked = new Map<string, Promise<string>>();
  const ask = async (key: string, result: number | undefined): Promise<string> => {
    const [sopClassUid = "", transferSyntaxUid = ""] = key.split(" ");
    const what = `the PACS does not take SOP class ${sopClassUid} in transfer syntax ${transferSyntaxUid}`;
    if (result === 3) return `${what}: it takes that class in none; its administrator must allow the class`;
    const taken = await syntaxesOf(sopClassUid).catch(() => undefined);
    if (!taken) return `${what}; what it takes could not be asked`;
    const classes = contexts.length > 1 ? " of that class" : "";
    return taken.length > 0
      ? `${what}; it takes${classes} ${taken.join(", ")}`
      : `${what}; it takes that class in none`;
  };
  return (key, result) => {
    const known = asked.get(key) ?? ask(key, result);
    asked.set(key, known);
    return known;
  };
}

/** The transfer syntaxes in which a peer takes a class: a context each. */
async function syntaxesOf(peer: Peer, abstractSyntax: string, signal: AbortSignal): Promise<readonly string[]> {
  const contexts = knownSyntaxes.map((syntax, index) => ({
    id: index * 2 + 1,
    abstractSyntax,
    transferSyntaxes: [syntax],
  }));
  const association = await openAssociation(peer, contexts, signal);
  await association.release();
  return contexts.filter(({ id }) => association.isAccepted(id)).flatMap(({ transferSyntaxes }) => transferSyntaxes);
}
