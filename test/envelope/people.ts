/** Two organisations with keys, and an envelope from one to the other, for the envelope's tests. */
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { initPki } from "../../commands/pki/index.ts";
import { pemToDer, readCertificate } from "../../envelope/certificate.ts";
import {
  type Content,
  type Draft,
  type Opening,
  type Sealed,
  seal,
  sealPart,
  type Trust,
} from "../../envelope/index.ts";
import { type Signer, signerFrom, type Unwrapper, unwrapperFrom } from "../../envelope/keys.ts";

export type Sides = {
  readonly folder: string;
  readonly signers: Readonly<Record<string, Signer>>;
  readonly unwrappers: Readonly<Record<string, Unwrapper>>;
  readonly trust: Trust;
  partner(certificateSha256: string): { readonly org: string; readonly profiles: readonly string[] } | undefined;
};

/** a, b and c under one CA; `registry` too. */
export async function people({ rsa = false }: { rsa?: boolean } = {}): Promise<Sides> {
  const folder = join(mkdtempSync(join(tmpdir(), "semrs-people-")), "pki");
  const names = ["a", "b", "c", "registry"];
  await initPki(folder, names, { now: new Date(), rsa });
  const read = (file: string) => readFileSync(join(folder, file), "utf8");
  const each = <T>(of: (name: string) => T) => Object.fromEntries(names.map((name) => [name, of(name)]));
  const signers = each((name) => signerFrom(read(`${name}/sign.key`), read(`${name}/sign.crt`)));
  const owners = new Map(
    names.map((name) => [readCertificate(signers[name]?.certificate ?? new Uint8Array()).sha256, name]),
  );
  return {
    folder,
    signers,
    unwrappers: each((name) => unwrapperFrom(read(`${name}/decrypt.key`), read(`${name}/decrypt.crt`))),
    trust: { anchors: pemToDer(read("ca.crt")), crls: pemToDer(read("ca.crl"), "X509 CRL"), revocation: "require" },
    partner: (sha256) => {
      const org = owners.get(sha256);
      return org ? { org, profiles: ["semrs-2"] } : undefined;
    },
  };
}

export const member = <T>(of: Readonly<Record<string, T>>, name: string): T => {
  const found = of[name];
  if (found === undefined) throw new Error(`no ${name}`);
  return found;
};

/** Bytes in pieces of a given size. */
export async function* wire(bytes: Uint8Array, size = 65_536): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

export async function bytesOf(source: AsyncIterable<Uint8Array>): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of source) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** A part as a store would hold it: ciphertext and facts. */
export async function contentFrom(bytes: Uint8Array, role: "cda" | "dicom", sop?: string): Promise<Content> {
  const part = sealPart(wire(bytes), role === "cda" ? "whole" : "segments");
  const cipher = await bytesOf(part.cipher);
  const type = role === "cda" ? "text/xml" : "application/dicom";
  return { role, type, ...(sop ? { sop } : {}), facts: part.facts(), cipher: () => wire(cipher) };
}

/** Deterministic octets of a size. */
export const octets = (size: number, seed: number): Buffer =>
  Buffer.alloc(size, Buffer.from(`${seed} `.repeat(17) + seed * 31));

/** An envelope from a to b: a document, an image of exactly two segments, and one of two and a bit. */
export async function sealedFor(
  sides: Sides,
  change: Partial<Draft> = {},
  now = new Date(),
): Promise<{ sealed: Sealed; clear: readonly Buffer[] }> {
  const clear = [octets(30_000, 1), octets(2 * 1_048_576, 2), octets(2 * 1_048_576 + 77, 3)];
  const [document, first, second] = clear;
  const content = [
    await contentFrom(document ?? Buffer.alloc(0), "cda"),
    await contentFrom(first ?? Buffer.alloc(0), "dicom", "1.2.3.1"),
    await contentFrom(second ?? Buffer.alloc(0), "dicom", "1.2.3.2"),
  ];
  const draft: Draft = {
    purpose: "push",
    message: "ab".repeat(16),
    sender: "a",
    messageType: "116",
    to: [{ org: "b", certificate: member(sides.unwrappers, "b").certificate }],
    content,
    ...change,
  };
  return { sealed: await seal(draft, member(sides.signers, draft.sender), now), clear };
}

/** How b opens what comes. */
export function openingOf(sides: Sides, change: Partial<Opening> = {}): Opening {
  return {
    self: "b",
    unwrappers: [member(sides.unwrappers, "b")],
    trust: sides.trust,
    now: new Date(),
    purposes: ["push"],
    partner: sides.partner,
    hasSeen: () => false,
    ...change,
  };
}
