/** Two houses seal records under one message id, one of them to keep the other's away: both are kept, and both are delivered. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bytesOf, contentFrom } from "../envelope/people.ts";
import { cda, chen } from "../fixtures/documents.ts";
import { openExchange, sha256, type TestExchange, testPki, until } from "../sites.ts";
import { type Answer, type Peer, peerOf, recordsAtB } from "./peer.ts";

let pki: string;
let exchange: TestExchange;
let peer: Peer;
beforeAll(async () => {
  pki = await testPki();
  exchange = await openExchange(pki, {}, (yaml) =>
    yaml.replace("{ push: [hospital-a] }", "{ push: [hospital-a, registry] }"),
  );
  peer = peerOf(pki, exchange.env.B_PORT);
});
afterAll(() => exchange.close());

const report = (extension: string): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });
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
