/** `identity: ours`: that a person let one house's document go says nothing of another house's that names it. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { bytesOf, contentFrom } from "./envelope/people.ts";
import { peerOf } from "./exchange/peer.ts";
import { cda, chen, lin } from "./fixtures/documents.ts";
import { openExchange, sha256, type TestExchange, testPki, until } from "./sites.ts";

let pki: string;
let exchange: TestExchange;
beforeAll(async () => {
  pki = await testPki();
  exchange = await openExchange(pki, {}, (yaml) =>
    yaml
      .replaceAll(/identity: original, because: "[^"]*"/g, "identity: ours")
      .replace("{ push: [hospital-a] }", "{ push: [hospital-a, registry] }"),
  );
});
afterAll(() => exchange.close());

const named = { form: "113", code: "11502-2", display: "x", title: "t", body: "x" };
const first = cda({ ...named, extension: "FIRST", patient: chen });
const parent =
  '<relatedDocument typeCode="RPLC"><parentDocument><id extension="FIRST" root="2.16.886.104.100565.100008"/></parentDocument></relatedDocument>';
const following = (extension: string, patient: typeof chen): Uint8Array =>
  Buffer.from(
    Buffer.from(cda({ ...named, extension, patient }))
      .toString("utf8")
      .replace("</custodian>", `</custodian>${parent}`),
  );

async function push(sender: string, document: Uint8Array, message: string): Promise<void> {
  const content = [await contentFrom(document, "cda")];
  const peer = peerOf(pki, exchange.env.B_PORT);
  const sealed = await peer.push({ sender, message, messageType: "113", content }, join(pki, sender));
  const answer = await peer.post(sealed.headers, await bytesOf(sealed.body()), { as: join(pki, sender) });
  expect(answer.status).toBe(201);
}
type Line = { readonly id: string; readonly state: string; readonly code: string | null };
const parked = async (): Promise<readonly Line[]> =>
  (await exchange.admin("hospital-b").get<{ deliveries: readonly Line[] }>("/journal")).deliveries.filter(
    ({ state, code }) => state === "parked" && code === "PATIENT_UNKNOWN",
  );
const atHisB = (document: Uint8Array): boolean => exchange.documentsAtB().has(sha256(document));

test("what its own author sends after it goes on with it, what another house sends waits for a person", async () => {
  await push("hospital-a", first, "01".repeat(16));
  await until("held", async () => (await parked()).length === 1);
  const [held] = await parked();
  await exchange.admin("hospital-b").post(`/journal/${held?.id}/release`, { reason: "asked the patient" });
  await until("at HIS B", () => atHisB(first));
  const own = following("OWN", chen);
  await push("hospital-a", own, "02".repeat(16));
  await until("its correction, too", () => atHisB(own));
  const other = following("OTHER", lin);
  await push("registry", other, "03".repeat(16));
  await until("held or delivered", async () => (await parked()).length === 1 || atHisB(other));
  expect(atHisB(other)).toBe(false);
});
