/** A house that says of another house's record that it was cancelled, or that it replaces one of its own: it keeps nobody from it. */
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Traced } from "../../commands/journal/trace.ts";
import { contentOf } from "../../envelope/index.ts";
import { readCda } from "../../formats/cda.ts";
import { type Command, commandMediaType, writeCommand } from "../../formats/command.ts";
import { documentEntry } from "../../formats/document-entry.ts";
import type { EvidenceFiles } from "../../pipeline/evidence.ts";
import { bytesOf, contentFrom } from "../envelope/people.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { adtFor, chen, mdmFor, sampleMessage } from "../fixtures/documents.ts";
import { sha256, until } from "../sites.ts";
import { exchange, peer, pki, report, twoAuthors } from "./two-authors.ts";

twoAuthors();

const entryOf = (extension: string, repositoryUniqueId: string) =>
  documentEntry(readCda(report(extension)), {
    sha256: sha256(report(extension)),
    size: 1,
    repositoryUniqueId,
    images: null,
  });

/** A record that hospital A has registered: the digest of its manifest, which whoever asks for the patient is told. */
async function registered(name: string): Promise<string> {
  await exchange.message(mdmFor(report(name), { controlId: name }));
  const record = async () => (await exchange.admin("hospital-a").get<Traced>(`/trace/${name}`)).records[0];
  await until("registered", async () => (await record())?.state === "registered");
  return (await record())?.manifestSha256 ?? "";
}

/** What the registry, as a house like any other, sends to hospital B. */
async function say(purpose: "push" | "notify", messageType: string, content: Awaited<ReturnType<typeof contentOf>>) {
  const sealed = await peer.push(
    { sender: "registry", purpose, messageType, content: [content] },
    join(pki, "registry"),
  );
  return (await peer.post(sealed.headers, await bytesOf(sealed.body()), { as: join(pki, "registry") })).status;
}
const correct = async (correction: Omit<Command<"correction">, "command">): Promise<number> => {
  const command = writeCommand<"correction">({ command: "correction", ...correction });
  return await say("notify", "correction", await contentOf(command, "command", commandMediaType));
};

test("what it says was cancelled, and what it says replaces a record of its own, is fetched from its author all the same", async () => {
  const [cancelled, replacing] = [await registered("CANCELLED"), await registered("REPLACING")];
  const { uniqueId } = entryOf("CANCELLED", "hospital-a");
  expect(await correct({ uniqueId, manifestSha256: cancelled, by: null })).toBe(200);
  expect(await say("push", "113", await contentFrom(report("ITS_OWN"), "cda"))).toBe(201);
  const own = entryOf("ITS_OWN", "registry").uniqueId;
  const by = { entry: entryOf("REPLACING", "hospital-a"), manifestSha256: replacing };
  expect(await correct({ uniqueId: own, manifestSha256: "0".repeat(64), by })).toBe(200);
  await exchange.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId: "ADT" }), "B_ADT");
  for (const name of ["REPLACING", "CANCELLED"])
    await until(`${name} at HIS B`, () => exchange.documentsAtB().has(sha256(report(name))));
});

test("what it says of another house's instance takes nothing from its study", async () => {
  const study = ctStudy({ instancesPerSeries: 1 });
  expect(await exchange.message(sampleMessage("mdm-t02-116"))).toMatchObject({ state: "delivered" });
  await exchange.instances(study.map(({ bytes }) => bytes));
  await exchange.registered(3);
  const admin = exchange.admin("hospital-a");
  const [record] = await admin.get<readonly { readonly id: string }[]>("/records");
  const { files } = await admin.get<EvidenceFiles>(`/records/${record?.id}/evidence`);
  type Part = { readonly sop?: string; readonly root?: string };
  const { parts } = JSON.parse(Buffer.from(files["author.json"] ?? "", "base64").toString()) as { parts: Part[] };
  const replaces = parts.flatMap(({ sop, root }) => (sop && root ? [{ sop, digest: root }] : []));
  expect(replaces).toHaveLength(study.length);
  const { hash: _hash, size: _size, ...entry } = entryOf("ADDED", "registry");
  const command = writeCommand<"addendum">({ command: "addendum", appends: "1.2.3", replaces, entry });
  expect(await say("push", "113", await contentOf(command, "command", commandMediaType))).toBe(201);
  await exchange.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId: "ADT2" }), "B_ADT");
  await until("the study at PACS B", () => exchange.instancesAtB().size === study.length);
});

test("what it seals as replacing another house's document comes to HIS B as a new one", async () => {
  const parent =
    '<relatedDocument typeCode="RPLC"><parentDocument><id extension="CANCELLED" root="2.16.886.104.100565.100008"/></parentDocument></relatedDocument>';
  const usurping = Buffer.from(
    Buffer.from(report("USURPING")).toString("utf8").replace("</custodian>", `</custodian>${parent}`),
  );
  expect(exchange.documentsAtB().has(sha256(report("CANCELLED")))).toBe(true);
  expect(await say("push", "113", await contentFrom(usurping, "cda"))).toBe(201);
  await until("at HIS B", () => exchange.documentsAtB().has(sha256(usurping)));
  const kinds = (await exchange.messagesAtB(1)).map((message) => message.toString("utf8").split("|")[8]);
  expect(kinds.filter((kind) => !kind?.startsWith("MDM^T02"))).toEqual([]);
});
