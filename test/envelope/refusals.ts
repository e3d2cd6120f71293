/**
 * Tables of refusals: each forged envelope is right in everything but one thing, and is refused for that thing. The numbers
 * are those of the list of refusals that the format was designed against.
 */
import { expect, test } from "vitest";
import { type Opening, open } from "../../envelope/index.ts";
import type { ErrorCode } from "../../errors.ts";
import { type Forged, type Forgery, forge } from "./forge.ts";
import { b, openingOf } from "./parties.ts";
import { clearParts, inPieces } from "./samples.ts";

export type Refusal = Forgery & {
  readonly opening?: Partial<Opening>;
  readonly code?: ErrorCode;
  readonly cause?: RegExp;
};
export type Table = Readonly<Record<string, Refusal>>;

/** Opens it to the last octet; what was released on the way is lost with the throw, as it is for a caller. */
export async function openAll({ headers, body }: Forged, opening?: Partial<Opening>): Promise<number> {
  const opened = await open(headers, inPieces(body, 50_000), openingOf(b, opening));
  return (await clearParts(opened)).length;
}

/** Each is refused with this code, and for a cause of this kind: another cause would show that the forgery missed its mark. */
export const check = (table: Table, otherwise: ErrorCode, kind: RegExp): void => {
  test.each(Object.entries(table))("%s", async (_, { opening, code, cause, ...forgery }) => {
    const expected = { name: "Fault", code: code ?? otherwise, message: expect.stringMatching(cause ?? kind) };
    await expect(openAll(await forge(forgery), opening)).rejects.toMatchObject(expected);
  });
};

export const without = (name: string): Forgery => ({ headers: (headers) => headers.filter(([each]) => each !== name) });
export const changed = (name: string, change: (value: string) => string): Forgery => ({
  headers: (headers) => headers.map(([each, value]): [string, string] => [each, each === name ? change(value) : value]),
});
export const added = (name: string, value: string): Forgery => ({ headers: (headers) => [...headers, [name, value]] });
export const bodyText = (change: (text: string, boundary: string) => string): Forgery => ({
  body: (body, boundary) => Buffer.from(change(body.toString("latin1"), boundary), "latin1"),
});

/** A change to the CMS of one part. */
export const inPart = (n: number, change: (octets: Buffer) => Uint8Array): Forgery => ({
  frame: (each, octets) => (each === n ? change(octets) : octets),
});
