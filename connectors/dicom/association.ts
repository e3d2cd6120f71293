/** Association negotiation (PS3.8 7.1, 9.3.2 to 9.3.4, Annex D) as pure functions over the bodies of the PDUs. */
import { abortReason, ProtocolError, pduTypes, writePdu } from "./pdu.ts";

export const applicationContext = "1.2.840.10008.3.1.1.1";
export const verificationClass = "1.2.840.10008.1.1";
/** Storage commitment push model (PS3.4 J.3). */
export const commitmentClass = "1.2.840.10008.1.20.1";
export const implicitLittle = "1.2.840.10008.1.2";
export const explicitLittle = "1.2.840.10008.1.2.1";
const implementationClassUid = "2.25.253096178016519283645301744018215642097";
const implementationVersion = "SEMRS_1";

export const maxContexts = 128;
const maxSyntaxes = 64;
const headBytes = 68;

export type ProposedContext = {
  readonly id: number;
  readonly abstractSyntax: string;
  readonly transferSyntaxes: readonly string[];
  /** The requestor is SCP of it, as one that reports a storage commitment is (PS3.7 D.3.3.4). */
  readonly isScp?: boolean;
};
export type Request = {
  readonly calledAeTitle: string;
  readonly callingAeTitle: string;
  readonly contexts: readonly ProposedContext[];
  /** Largest P-DATA the requestor takes; 0 is no limit. */
  readonly maxPdu: number;
  readonly protocolVersion: number;
  readonly applicationContext: string;
  /** User information items to be answered: async window (0x53), roles (0x54), user identity (0x58). */
  readonly items: readonly { readonly type: number; readonly body: Buffer }[];
};
export type AcceptedContext = ProposedContext & { readonly result: 0 | 3 | 4; readonly transferSyntax: string };

const bad = (what: string): ProtocolError => new ProtocolError(abortReason.invalidParameter, what);
const text = (bytes: Uint8Array): string =>
  Buffer.from(bytes)
    .toString("latin1")
    .replace(/[\0 ]+$/, "");

type ItemAt = { readonly type: number; readonly body: Buffer };

function* itemsOf(body: Buffer): Generator<ItemAt> {
  for (let at = 0; at < body.length; ) {
    if (at + 4 > body.length) throw bad("an item that is cut off");
    const end = at + 4 + body.readUInt16BE(at + 2);
    if (end > body.length) throw bad("an item longer than its PDU");
    yield { type: body[at] ?? 0, body: body.subarray(at + 4, end) };
    at = end;
  }
}

/** Reads an A-ASSOCIATE-RQ; ids may come in any order, but are odd and unique. */
export function readRequest(body: Buffer): Request {
  if (body.length < headBytes) throw bad("an A-ASSOCIATE-RQ that is too short");
  const contexts: ProposedContext[] = [];
  let application = "";
  let maxPdu = 0;
  const items: ItemAt[] = [];
  for (const item of itemsOf(body.subarray(headBytes))) {
    if (item.type === 0x10) application = text(item.body);
    else if (item.type === 0x20) contexts.push(proposed(item.body));
    else if (item.type === 0x50) {
      for (const sub of itemsOf(item.body)) {
        if (sub.type === 0x51 && sub.body.length === 4) maxPdu = sub.body.readUInt32BE(0);
        else items.push(sub);
      }
    }
  }
  const ids = new Set(contexts.map(({ id }) => id));
  if (contexts.length === 0 || contexts.length > maxContexts || ids.size !== contexts.length)
    throw bad(`${contexts.length} presentation contexts`);
  return {
    calledAeTitle: text(body.subarray(4, 20)).trim(),
    callingAeTitle: text(body.subarray(20, 36)).trim(),
    contexts,
    maxPdu,
    protocolVersion: body.readUInt16BE(0),
    applicationContext: application,
    items,
  };
}

function proposed(body: Buffer): ProposedContext {
  const id = body[0] ?? 0;
  if (body.length < 4 || id % 2 === 0) throw bad(`presentation context id ${id}`);
  let abstractSyntax = "";
  const transferSyntaxes: string[] = [];
  for (const sub of itemsOf(body.subarray(4))) {
    if (sub.type === 0x30) abstractSyntax = text(sub.body);
    if (sub.type === 0x40) transferSyntaxes.push(text(sub.body));
  }
  if (transferSyntaxes.length === 0 || transferSyntaxes.length > maxSyntaxes)
    throw bad(`${transferSyntaxes.length} transfer syntaxes`);
  return { id, abstractSyntax, transferSyntaxes };
}

/** Storage SOP classes share a root (PS3.4 B.5); these few lie elsewhere. */
const otherStorage = new Set([
  "1.2.840.10008.5.1.4.34.7",
  "1.2.840.10008.5.1.4.43.1",
  "1.2.840.10008.5.1.4.44.1",
  "1.2.840.10008.5.1.4.45.1",
]);
const syntaxUid = /^(?=.{1,64}$)[0-9]+(\.[0-9]+)*$/;

export const isStorage = (abstractSyntax: string): boolean =>
  abstractSyntax.startsWith("1.2.840.10008.5.1.4.1.1.") ||
  otherStorage.has(abstractSyntax) ||
  // A vendor's own classes are storage: nothing else is defined outside the standard's root.
  (syntaxUid.test(abstractSyntax) && !abstractSyntax.startsWith("1.2.840.10008."));

/** Of the data sets that we read and write ourselves. */
const ownSyntaxes: readonly string[] = [explicitLittle, implicitLittle];

/** Any transfer syntax is stored as it comes; of several, explicit little endian is easiest for everybody behind us. */
export function negotiate(contexts: readonly ProposedContext[]): readonly AcceptedContext[] {
  return contexts.map((context) => {
    const { abstractSyntax, transferSyntaxes } = context;
    const isOwn = abstractSyntax === commitmentClass;
    const isKnown = isOwn || abstractSyntax === verificationClass || isStorage(abstractSyntax);
    const syntaxes = transferSyntaxes.filter((syntax) =>
      isOwn ? ownSyntaxes.includes(syntax) : syntaxUid.test(syntax),
    );
    const transferSyntax = syntaxes.includes(explicitLittle) ? explicitLittle : syntaxes[0];
    if (!isKnown) return { ...context, result: 3, transferSyntax: implicitLittle };
    return transferSyntax
      ? { ...context, result: 0, transferSyntax }
      : { ...context, result: 4, transferSyntax: implicitLittle };
  });
}

const item = (type: number, body: Uint8Array): Buffer => {
  const head = Buffer.alloc(4);
  head[0] = type;
  head.writeUInt16BE(body.length, 2);
  return Buffer.concat([head, body]);
};
const uid = (type: number, value: string): Buffer => item(type, Buffer.from(value, "latin1"));
const title = (value: string): Buffer => Buffer.from(value.padEnd(16).slice(0, 16), "latin1");

function userInformation(maxPdu: number, answers: readonly Buffer[]): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32BE(maxPdu);
  const own = [item(0x51, size), uid(0x52, implementationClassUid), ...answers, uid(0x55, implementationVersion)];
  return item(0x50, Buffer.concat(own));
}

/** A-ASSOCIATE-AC for a request: one operation at a time, roles as proposed, a positive user identity answer if asked for. */
export function writeAccept(request: Request, accepted: readonly AcceptedContext[], maxPdu: number): Buffer {
  const answers = request.items.flatMap(({ type, body }): Buffer[] => {
    if (type === 0x53) return [item(0x53, Uint8Array.of(0, 1, 0, 1))];
    if (type === 0x54 && body.length >= 4) return [item(0x54, rolesFor(body))];
    if (type === 0x58 && body[1] === 1) return [item(0x59, Uint8Array.of(0, 0))];
    return [];
  });
  const head = Buffer.alloc(headBytes);
  head[1] = 1;
  title(request.calledAeTitle).copy(head, 4);
  title(request.callingAeTitle).copy(head, 20);
  const contexts = accepted.map(({ id, result, transferSyntax }) =>
    item(0x21, Buffer.concat([Uint8Array.of(id, 0, result, 0), uid(0x40, transferSyntax)])),
  );
  return writePdu(
    pduTypes.associateAc,
    Buffer.concat([head, uid(0x10, applicationContext), ...contexts, userInformation(maxPdu, answers)]),
  );
}

/** The requestor stays the SCU, but may be the SCP of storage commitment: an archive that reports to us (PS3.7 D.3.3.4). */
function rolesFor(body: Buffer): Buffer {
  const isCommitment = text(body.subarray(2, -2)) === commitmentClass;
  const roles = isCommitment ? body.subarray(-2).map((role) => role & 1) : Uint8Array.of(1, 0);
  return Buffer.concat([body.subarray(0, -2), roles]);
}

const scpRole = (abstractSyntax: string): Buffer => {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(abstractSyntax.length);
  return item(0x54, Buffer.concat([length, Buffer.from(abstractSyntax, "latin1"), Uint8Array.of(0, 1)]));
};

/** A-ASSOCIATE-RJ (PS3.8 9.3.4): result, source, reason. */
export const writeReject = (result: 1 | 2, source: 1 | 2 | 3, reason: number): Buffer =>
  writePdu(pduTypes.associateRj, Uint8Array.of(0, result, source, reason));

/** A-ASSOCIATE-RQ. */
export function writeRequest(
  calledAeTitle: string,
  callingAeTitle: string,
  contexts: readonly ProposedContext[],
  maxPdu: number,
): Buffer {
  const head = Buffer.alloc(headBytes);
  head[1] = 1;
  title(calledAeTitle).copy(head, 4);
  title(callingAeTitle).copy(head, 20);
  const proposedItems = contexts.map(({ id, abstractSyntax, transferSyntaxes }) =>
    item(
      0x20,
      Buffer.concat([
        Uint8Array.of(id, 0, 0, 0),
        uid(0x30, abstractSyntax),
        ...transferSyntaxes.map((syntax) => uid(0x40, syntax)),
      ]),
    ),
  );
  const roles = contexts.flatMap(({ abstractSyntax, isScp }) => (isScp ? [scpRole(abstractSyntax)] : []));
  return writePdu(
    pduTypes.associateRq,
    Buffer.concat([head, uid(0x10, applicationContext), ...proposedItems, userInformation(maxPdu, roles)]),
  );
}

/** What an A-ASSOCIATE-AC accepted: result by context id, and the peer's largest P-DATA (0: no limit). */
export function readAccept(
  body: Buffer,
  proposed: readonly ProposedContext[],
): { readonly results: ReadonlyMap<number, number>; readonly maxPdu: number } {
  const results = new Map<number, number>();
  let maxPdu = 0;
  for (const { type, body: content } of itemsOf(body.subarray(headBytes))) {
    if (type === 0x21 && content.length >= 4) {
      const [id = 0, , result = 0] = content;
      const asked = proposed.find((each) => each.id === id);
      results.set(id, result === 0 && asked && !isOf(asked, content.subarray(4)) ? notProposed : result);
    }
    if (type !== 0x50) continue;
    for (const sub of itemsOf(content))
      if (sub.type === 0x51 && sub.body.length === 4) maxPdu = sub.body.readUInt32BE(0);
  }
  return { results, maxPdu };
}

/** What is accepted in a transfer syntax that was not proposed is as if that was not supported: the data set would be read as another. */
const notProposed = 4;
/** One that names none means what was proposed. */
function isOf({ transferSyntaxes }: ProposedContext, items: Buffer): boolean {
  const accepted = [...itemsOf(items)].find(({ type }) => type === 0x40);
  const syntax = text(accepted?.body ?? items.subarray(0, 0));
  return syntax === "" || transferSyntaxes.includes(syntax);
}
