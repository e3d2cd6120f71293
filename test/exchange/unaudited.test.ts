/** Who is on no list, and who comes too often, fills the log of the day, and not the audit log that is kept for good. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { initPki } from "../../commands/pki/index.ts";
import { bytesOf } from "../envelope/people.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { type Peer, peerOf } from "./peer.ts";

let pki: string;
let exchange: TestExchange;
let peer: Peer;
beforeAll(async () => {
  pki = await testPki();
  await initPki(pki, ["stranger"], { now: new Date() });
  exchange = await openExchange(pki);
  peer = peerOf(pki, exchange.env.B_PORT);
});
afterAll(() => exchange.close());

/** Entries of hospital B's audit log that tell of a submission. */
async function entries(): Promise<number> {
  let text = "";
  for await (const chunk of await exchange.admin("hospital-b").download("/audit", { reason: "a test" }))
    text += Buffer.from(chunk).toString();
  return text.split("\n").filter((line) => line.includes('"event":"submission"')).length;
}
const refusals = (fields: Readonly<Record<string, string>>): number =>
  exchange.log.filter(
    (line) =>
      line.event === "repository.refused" &&
      Object.entries(fields).every(([name, value]) => line.fields[name as "code"] === value),
  ).length;

test("whoever has a certificate of the authority and is no partner is refused as the unopenable, and is no entry", async () => {
  const sealed = await peer.push();
  const body = await bytesOf(sealed.body());
  for (let n = 0; n < 3; n += 1)
    expect(await peer.post(sealed.headers, body, { as: join(pki, "stranger") })).toMatchObject({ status: 422 });
  expect(refusals({ peer: "unknown", code: "NOT_PERMITTED" })).toBe(3);
  expect(await entries()).toBe(0);
});

test("a partner whose envelopes do not open is an entry for each, until it is told to come back; those that break off are none", async () => {
  const sealed = await peer.push();
  for (let n = 1; n <= 3; n += 1) {
    const { outgoing, answered } = peer.begin(sealed.headers, 1_000);
    answered.catch(() => undefined);
    outgoing.write(Buffer.alloc(10), () => outgoing.destroy());
    await until("it has broken off", () => refusals({ peer: "hospital-a" }) === n);
  }
  const garbled = Buffer.from(await bytesOf(sealed.body())).fill(0x41, 400, 900);
  for (let n = 0; n < 25; n += 1) await peer.post(sealed.headers, garbled);
  const told = refusals({ peer: "hospital-a", code: "PEER_BUSY" });
  expect(told).toBeGreaterThan(0);
  expect(await entries()).toBe(25 - told);
});
