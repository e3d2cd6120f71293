/**
 * Seals and opens a record of one instance of 256 MiB and prints in MiB what that took on top of the process as it was
 * before. Run by smime4-memory.test.ts as a process of its own; nothing here keeps the record, neither its maker nor its spool.
 */
import { createCipheriv } from "node:crypto";
import { createReadStream, mkdtempSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Content, openSmime4, sealPart, sealSmime4 } from "../../envelope/index.ts";
import { a, b, now } from "./parties.ts";
import { cda, document, draftOf, mebibyte, octets } from "./samples.ts";
import { smime4Opening } from "./smime4-forge.ts";

const size = 256 * mebibyte;
const piece = octets(65_536, 5);

async function* clear(): AsyncGenerator<Uint8Array> {
  for (let sent = 0; sent < size; sent += piece.length) yield piece;
}

/** The instance as a store would give it, but encrypted anew for every reading. */
async function instance(): Promise<Content> {
  const part = sealPart(clear(), "segments");
  for await (const _ of part.cipher);
  const facts = part.facts();
  const cipher = async function* (): AsyncGenerator<Uint8Array> {
    const encrypt = createCipheriv("aes-256-gcm", facts.cek, facts.nonce, { authTagLength: 16 });
    for await (const chunk of clear()) yield encrypt.update(chunk);
  };
  return { role: "dicom", type: "application/dicom", sop: "1.2.3", facts, cipher };
}

const held = (): number => process.resourceUsage().maxRSS / 1024;
const before = held();
const folder = mkdtempSync(join(tmpdir(), "semrs-smime4-memory-"));
try {
  const path = join(folder, "spool");
  await using file = await open(path, "w", 0o600);
  const spool = {
    write: async (cipher: AsyncIterable<Uint8Array>) => {
      for await (const chunk of cipher) await file.write(chunk);
      return { read: () => createReadStream(path) };
    },
  };
  const content = [await document(cda), await instance()];
  const sealed = await sealSmime4(draftOf(content), a.signer, now);
  const opened = await openSmime4(sealed.headers, sealed.body(), smime4Opening(b, { spool }));
  let read = 0;
  for await (const { cipher } of opened.parts()) for await (const chunk of cipher) read += chunk.length;
  if (read !== size + cda.length) throw new Error(`${read} octets came out`);
  process.stdout.write(String(Math.ceil(held() - before)));
} finally {
  rmSync(folder, { recursive: true });
}
