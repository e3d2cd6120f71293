import { expect, test } from "vitest";
import { oid } from "../../envelope/cms/der.ts";
import type { Smime4Opening } from "../../envelope/index.ts";
import type { ErrorCode } from "../../errors.ts";
import { a, type Party } from "./parties.ts";
import { draftOf, record } from "./samples.ts";
import { type Forgery, forge, honestEntity, openAll, withValue } from "./smime4-forge.ts";

/** What is changed of an honest message, and how it is opened and refused. */
export type Refusal = Forgery & {
  readonly opening?: Partial<Smime4Opening>;
  readonly known?: readonly Party[];
  readonly code?: ErrorCode;
  readonly cause?: RegExp;
};

export const check = (
  table: Readonly<Record<string, Refusal>>,
  kind: RegExp,
  otherwise: ErrorCode = "ENVELOPE_NOT_OPENED",
) =>
  test.each(Object.entries(table))("%s", async (_, { opening, known, code, cause, ...forgery }) => {
    const expected = { name: "Fault", code: code ?? otherwise, message: expect.stringMatching(cause ?? kind) };
    await expect(openAll(await forge(forgery), opening, known)).rejects.toMatchObject(expected);
  });

export const text = (change: (entity: string) => string): Forgery => ({
  entity: (entity) => Buffer.from(change(entity.toString("latin1")), "latin1"),
});
export const without = (name: string): Forgery => ({
  head: (head) => head.replace(new RegExp(`\r\n${name}: [^\r]*`), ""),
});
export const twice = (name: string): Forgery => ({
  head: (head) => head.replace(new RegExp(`\r\n${name}: [^\r]*`), (line) => line + line),
});
export const valued = (name: string, value: string): Forgery => ({ head: withValue(name, value) });
export const typed = (value: string): Forgery => ({
  headers: (all) => all.map(([name, each]): [string, string] => [name, name === "Content-Type" ? value : each]),
});

export const honest = async (): Promise<Buffer> => await honestEntity(draftOf(await record(500)), a.signer);

export const signedHeaders = [
  "Sender Receiver SymmetricAlg AsymmetricAlg DistAlg SignAlg BodypartCnt HeaderCnt MessageType"
    .split(" ")
    .map((name) => `X-EEC-${name}`),
  "Id Message Created Expires Purpose To In-Reply-To Request-Digest".split(" ").map((name) => `X-SEMRS-${name}`),
].flat();

/** The same DER with one object identifier in the place of another of the same length. */
export const replaceOid = (der: Buffer, one: string, other: string): Buffer => {
  const at = der.indexOf(oid(one));
  return Buffer.concat([der.subarray(0, at), oid(other), der.subarray(at + oid(one).length)]);
};
