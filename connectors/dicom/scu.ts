/** DICOM destination: C-STORE and C-ECHO as SCU. One presentation context a (SOP class, stored transfer syntax), nothing transcoded. */
import { z } from "zod";
import { Fault } from "../../errors.ts";
import { readMeta } from "../../formats/dicom.ts";
import type { Context, Destination, Item, Outcome } from "../connector.ts";
import { tlsOptions } from "../wire.ts";
import { explicitLittle, implicitLittle, maxContexts, type ProposedContext, verificationClass } from "./association.ts";
import { type Association, echoCommand, openAssociation, storeCommand } from "./requestor.ts";

/** An instance to send: its body is a Part 10 file whose data set is sent as it stands. */
export type DicomItem = Item & { readonly sopClassUid: string; readonly transferSyntaxUid: string };

const maxItems = 25_000;
/** File Meta Information must be within this. */
const maxMetaBytes = 128 * 1024;

const options = z.object({
  host: z.string().describe("Where the PACS listens."),
  port: z.int().min(1).max(65_535).describe("Its port."),
  callingAeTitle: z.string().describe("Our AE title."),
  calledAeTitle: z.string().describe("Its AE title."),
  associations: z.int().min(1).max(16).default(1).describe("Associations at once."),
  maxPdu: z.int().min(4096).default(131_072).describe("Largest P-DATA, octets."),
  connectSeconds: z.number().positive().default(10).describe("To connect and associate within."),
  responseSeconds: z.number().positive().default(60).describe("To answer an instance within."),
  tls: tlsOptions,
});
export type ScuOptions = z.output<typeof options>;

export const dicomDestination: Destination<typeof options> = {
  name: "dicom",
  summary: "DICOM instances by C-STORE",
  options,
  example: "dicom: { connect: 127.0.0.1:11113, aeTitle: SEMRS_B, calledAeTitle: PACS_B, associations: 4 }",
  send: async (settings, items, report, context) => {
    const all: DicomItem[] = [];
    for await (const item of items) {
      if (all.length >= maxItems) throw new Fault("TOO_LARGE", `more than ${maxItems} instances at once`);
      all.push(item as DicomItem);
    }
    for (const group of groupsOf(all)) await sendGroup(settings, group, report, context);
  },
};

type Group = { readonly contexts: readonly ProposedContext[]; readonly items: readonly DicomItem[] };
const keyOf = ({ sopClassUid, transferSyntaxUid }: DicomItem): string => `${sopClassUid} ${transferSyntaxUid}`;

/** As many instances as fit the contexts of one association. */
function groupsOf(items: readonly DicomItem[]): readonly Group[] {
  const keys = [...new Set(items.map(keyOf))];
  const groups: Group[] = [];
  for (let at = 0; at < keys.length; at += maxContexts) {
    const some = keys.slice(at, at + maxContexts);
    const contexts = some.map((key, index): ProposedContext => {
      const [abstractSyntax = "", transferSyntax = ""] = key.split(" ");
      return { id: index * 2 + 1, abstractSyntax, transferSyntaxes: [transferSyntax] };
    });
    groups.push({ contexts, items: items.filter((item) => some.includes(keyOf(item))) });
  }
  return groups;
}

type Report = (item: Item, outcome: Outcome) => void;

/** Several associations take from one list; one that is lost leaves the rest to the others. */
async function sendGroup(
  settings: ScuOptions,
  { contexts, items }: Group,
  report: Report,
  { signal }: Context,
): Promise<void> {
  const left = [...items];
  const count = Math.min(settings.associations, left.length);
  const first = await openAssociation(settings, contexts, signal);
  const others = Array.from({ length: count - 1 }, () => openAssociation(settings, contexts, signal));
  const workers = [Promise.resolve(first), ...others].map(async (opening, index) => {
    // A PACS may allow fewer associations than were asked for: the first one carries on.
    const association = await opening.catch((thrown: unknown) => (index === 0 ? Promise.reject(thrown) : undefined));
    if (association) await work(association, contexts, left, report);
  });
  const results = await Promise.allSettled(workers);
  const failed = results.find((result) => result.status === "rejected");
  if (failed && left.length > 0) throw failed.reason;
}

async function work(
  association: Association,
  contexts: readonly ProposedContext[],
  left: DicomItem[],
  report: Report,
): Promise<void> {
  let messageId = 0;
  for (let item = left.shift(); item !== undefined; item = left.shift()) {
    const context = contexts.find(
      ({ abstractSyntax, transferSyntaxes }) => keyOf(item as DicomItem) === `${abstractSyntax} ${transferSyntaxes[0]}`,
    );
    if (!context || !association.isAccepted(context.id)) {
      const { sopClassUid, transferSyntaxUid } = item;
      report(item, {
        state: "refused",
        code: "DICOM_UNSUPPORTED",
        reason: `the PACS does not take SOP class ${sopClassUid} in transfer syntax ${transferSyntaxUid}`,
      });
      continue;
    }
    messageId = (messageId % 65_535) + 1;
    try {
      const command = storeCommand(messageId, item.sopClassUid, item.controlId);
      report(item, outcomeOf(await association.request(context.id, command, dataSetOf(item))));
    } catch (thrown) {
      association.abort();
      if (thrown instanceof Fault && thrown.code !== "PEER_UNREACHABLE") throw thrown;
      if (association.isAmbiguous())
        report(item, { state: "ambiguous", reason: "the instance was sent and not answered" });
      else left.unshift(item);
      throw new Fault("PEER_UNREACHABLE", "the association was lost; what is left is sent again", { cause: thrown });
    }
  }
  await association.release();
}

/** The data set behind the File Meta Information. */
async function* dataSetOf(item: DicomItem): AsyncGenerator<Uint8Array> {
  let head: Buffer | undefined = Buffer.alloc(0);
  for await (const chunk of item.body()) {
    if (!head) {
      yield chunk;
      continue;
    }
    head = Buffer.concat([head, chunk]);
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
  if (status === 0 || status >>> 12 === 0xb) return { state: "delivered", detail };
  const isBusy = status >>> 8 === 0xa7;
  return {
    state: "refused",
    code: isBusy ? "PEER_BUSY" : "PEER_REFUSED",
    reason: `the PACS answered status ${detail}`,
    detail,
  };
}

/** C-ECHO: resolves when the peer answers Success. */
export async function echo(settings: ScuOptions, { signal }: Context): Promise<void> {
  const contexts = [{ id: 1, abstractSyntax: verificationClass, transferSyntaxes: [explicitLittle, implicitLittle] }];
  const association = await openAssociation(settings, contexts, signal);
  const status = association.isAccepted(1) ? await association.request(1, echoCommand(1, verificationClass)) : 0x0122;
  await association.release();
  if (status !== 0) throw new Fault("PEER_REFUSED", `the peer answered C-ECHO with status ${status.toString(16)}`);
}
