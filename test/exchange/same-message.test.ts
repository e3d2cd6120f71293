/** Two houses seal records under one message id, one of them to keep the other's away: both are kept, and both are delivered. */
import { join } from "node:path";
import { expect, test } from "vitest";
import { bytesOf, contentFrom } from "../envelope/people.ts";
import { sha256, until } from "../sites.ts";
import { type Answer, recordsAtB } from "./peer.ts";
import { exchange, peer, pki, report, twoAuthors } from "./two-authors.ts";

twoAuthors();

const message = "5a".repeat(16);

/** A house pushes a document of its own under the one id. */
async function pushed(sender: string, extension: string): Promise<Answer> {
  const content = [await contentFrom(report(extension), "cda")];
  const sealed = await peer.push({ sender, message, content }, join(pki, sender));
  return await peer.post(sealed.headers, await bytesOf(sealed.body()), { as: join(pki, sender) });
}

test("a record under the id of another house's is kept and delivered, and once when it comes again", async () => {
  expect(await pushed("registry", "ONE")).toMatchObject({ status: 201 });
  expect(await pushed("hospital-a", "OTHER")).toMatchObject({ status: 201, isRepeated: false });
  expect(await pushed("hospital-a", "OTHER")).toMatchObject({ status: 201, isRepeated: true });
  await until("both at HIS B", () =>
    ["ONE", "OTHER"].every((each) => exchange.documentsAtB().has(sha256(report(each)))),
  );
  expect(await recordsAtB(exchange)).toBe(2);
});
