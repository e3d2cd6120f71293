/** What a forged semrs-2017 envelope must meet: the one refusal, and, for the log alone, the one cause it was forged for. */
import { expect, test } from "vitest";
import { type Opening2017, open2017 } from "../../envelope/index.ts";
import { Fault } from "../../errors.ts";
import { type Forgery, forge2017 } from "./forge2017.ts";
import { opening2017 } from "./legacy.ts";
import { inPieces } from "./samples.ts";

/** All that a peer could be told of any envelope that does not open. */
export const refusal = { name: "Fault", code: "ENVELOPE_NOT_OPENED", message: "the envelope does not open" };

/** Why an envelope was refused, once it was made sure that nothing else tells. */
export async function causeOf(forgery: Forgery, changes: Partial<Opening2017<string>> = {}): Promise<string> {
  const { headers, body } = forge2017(forgery);
  const thrown = await open2017(headers, inPieces(body, 999), opening2017(changes)).catch((each: unknown) => each);
  expect(thrown).toBeInstanceOf(Fault);
  expect(thrown).toMatchObject(refusal);
  return String((thrown as Fault & { cause: Error }).cause.message);
}

export type Row = Forgery & { readonly opening?: Partial<Opening2017<string>>; readonly cause: string | RegExp };

/** Each is refused, and for its cause and no other: another would show that the forgery missed its mark. */
export const check2017 = (table: Readonly<Record<string, Row>>): void => {
  test.each(Object.entries(table))("%s", async (_, { opening, cause, ...forgery }) => {
    const found = await causeOf(forgery, opening);
    if (typeof cause === "string") expect(found).toBe(cause);
    else expect(found).toMatch(cause);
  });
};
