/** A report that two houses have, of three: both are told of what becomes of it, once, and nobody else is. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Traced } from "../../commands/journal/trace.ts";
import { contentOf } from "../../envelope/index.ts";
import { commandMediaType, writeCommand } from "../../formats/command.ts";
import { bytesOf } from "../envelope/people.ts";
import { adtFor, cancelFor, cda, chen, mdmFor } from "../fixtures/documents.ts";
import { openExchange, sha256, type TestExchange, testPki, until } from "../sites.ts";
import { type Peer, peerOf } from "./peer.ts";

let pki: string;
let exchange: TestExchange;
let peer: Peer;
beforeAll(async () => {
  pki = await testPki();
  exchange = await openExchange(pki, { AGAIN_1: "1h", AGAIN_2: "2h", AGAIN_3: "3h" });
  peer = peerOf(pki, exchange.env.A_PORT);
});
afterAll(() => exchange.close());

const report = (extension: string): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });
const send = (name: string, change = {}) =>
  exchange.message(mdmFor(report(name), { controlId: name, name: `${name}^HIS`, ...change }));
const traced = (id: string): Promise<Traced> => exchange.admin("hospital-a").get<Traced>(`/trace/${id}`);
/** Houses that hospital A tells of a report, each as often as it is told. */
const told = async (id: string): Promise<readonly string[]> =>
  (await traced(id)).deliveries
    .filter(({ kind }) => kind === "notify")
    .map(({ destination }) => destination)
    .sort();

/** The registry's site asks hospital A for a report, as a house of its own would. */
async function retrieved(name: string): Promise<void> {
  const [record] = (await traced(name)).records;
  const command = writeCommand<"retrieve">({
    command: "retrieve",
    uniqueId: `2.16.886.104.100565.100008^${name}`,
    manifestSha256: record?.manifestSha256 ?? "",
  });
  const keys = join(pki, "registry");
  const to = [{ org: "hospital-a", certificate: peer.certificateOf("hospital-a") }];
  const content = [await contentOf(command, "command", commandMediaType)];
  const sealed = await peer.push(
    { purpose: "retrieve", sender: "registry", messageType: "retrieve", to, content },
    keys,
  );
  const asked = { as: keys, path: "/repository/retrievals" };
  expect((await peer.post(sealed.headers, await bytesOf(sealed.body()), asked)).status).toBe(200);
}

test("each house that has a report is told what becomes of it, once; who has it not learns nothing", async () => {
  for (const name of ["CANCELLED", "REPLACED"]) await send(name);
  await exchange.registered(2);
  await exchange.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId: "ADT" }), "B_ADT");
  await until("hospital B has both", () =>
    ["CANCELLED", "REPLACED"].every((name) => exchange.documentsAtB().has(sha256(report(name)))),
  );
  for (const name of ["OF.ONE", "OF.NOBODY"]) await send(name);
  await exchange.registered(4);
  for (const name of ["CANCELLED", "REPLACED", "OF.ONE"]) await retrieved(name);
  // Asked for twice it is not told twice.
  await retrieved("CANCELLED");

  await send("REPLACING", { event: "MDM^T10^MDM_T02", parent: "REPLACED^HIS" });
  for (const name of ["CANCELLED", "OF.ONE", "OF.NOBODY"]) {
    await exchange.message(cancelFor(`C.${name}`, `${name}^HIS`));
    await exchange.message(cancelFor(`AGAIN.${name}`, `${name}^HIS`));
  }
  const both = ["hospital-b", "registry"];
  await until("the replacement is told", async () => (await told("REPLACING")).length >= both.length);
  const houses = await Promise.all(["CANCELLED", "REPLACING", "OF.ONE", "OF.NOBODY"].map(told));
  expect(houses).toEqual([both, both, ["registry"], []]);
});
