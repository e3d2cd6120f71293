/**
 * HIS B and PACS B in a process of their own, with a ledger: one line for each thing that arrives, before it is answered.
 * `node test/faults/matrix/receivers.ts LEDGER HIS-HOST HIS-PORT PACS-HOST PACS-PORT`. While LEDGER.poison is there, HIS B refuses what
 * is written in it.
 */
import { createHash } from "node:crypto";
import { existsSync, openSync, readFileSync, writeSync } from "node:fs";
import type { Deliver } from "../../../connectors/connector.ts";
import { dicomSource } from "../../../connectors/dicom/scp.ts";
import { mllpSource } from "../../../connectors/mllp/index.ts";
import { readMeta } from "../../../formats/dicom.ts";
import { embeddedDocuments, readMsh } from "../../../formats/hl7.ts";
import type { Arrived } from "./ledger.ts";

const [path = "", hisHost = "", his = "", pacsHost = "", pacs = ""] = process.argv.slice(2);
const ledger = openSync(path, "a");
const note = (line: Arrived): void => void writeSync(ledger, `${JSON.stringify(line)}\n`);
const sha256 = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const accepted = { duplicate: false, answer: Promise.resolve({ accepted: true }) };
const refused = { duplicate: false, answer: Promise.resolve({ accepted: false, code: "CDA_INVALID" as const }) };
/** Text of a document that nobody sends where there is none. */
const poison = (): string => (existsSync(`${path}.poison`) ? readFileSync(`${path}.poison`, "utf8") : "\u0000");

const noteMessage: Deliver = async ({ body }) => {
  const message = Buffer.concat(await Array.fromAsync(body));
  const facts = readMsh(message);
  const documents = embeddedDocuments(message, facts).map(({ bytes }) => Buffer.from(bytes));
  if (documents.some((document) => document.includes(poison()))) return refused;
  for (const bytes of documents) note({ id: facts.controlId, sha256: sha256(bytes) });
  return accepted;
};

const noteInstance: Deliver = async ({ body, controlId }) => {
  const file = Buffer.concat(await Array.fromAsync(body));
  note({ id: controlId, sha256: sha256(file.subarray(readMeta(file).offset)) });
  return accepted;
};

const context = { log: () => undefined, signal: new AbortController().signal };
await mllpSource.listen(mllpSource.options.parse({ host: hisHost, port: Number(his) }), noteMessage, context);
const options = dicomSource.options.parse({ host: pacsHost, port: Number(pacs), aeTitle: "PACS_B" });
await dicomSource.listen(options, noteInstance, context);
process.stdout.write("listening\n");
