/** Questions and retrievals that are answered badly by whoever stands between two houses: nothing comes of it, and all comes once it ends. */
import type { ServerResponse } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ports } from "../../commands/demo/ports.ts";
import { adtFor, cda, chen, mdmFor } from "../fixtures/documents.ts";
import { openExchange, sha256, type TestExchange, testPki, until } from "../sites.ts";
import { type GoBetween, openGoBetween } from "./go-between.ts";
import type { Reply } from "./in-place.ts";

const retrievals = "/repository/retrievals";
const queries = "/registry/queries";
const [aPort, registryPort] = ["$" + "{A_PORT:8441}", "$" + "{REGISTRY_PORT:8440}"];
const [aLine, registryLine] = ["$" + "{A_LINE}", "$" + "{REGISTRY_LINE}"];

let exchange: TestExchange;
let toA: GoBetween;
let toRegistry: GoBetween;
beforeAll(async () => {
  const pki = await testPki();
  const lines = await ports(["A_LINE", "REGISTRY_LINE"]);
  toA = await openGoBetween(pki, "hospital-a", lines.A_LINE, () => exchange.env.A_PORT);
  toRegistry = await openGoBetween(pki, "registry", lines.REGISTRY_LINE, () => exchange.env.REGISTRY_PORT);
  // One question an admission: a second one would find what the first one's retrievals are about to bring.
  exchange = await openExchange(
    pki,
    { RETRY: "100ms", ...lines, AGAIN_1: "1h", AGAIN_2: "2h", AGAIN_3: "3h" },
    (yaml) =>
      yaml
        .replace(`https://127.0.0.1:${aPort}`, `https://127.0.0.1:${aLine}`)
        .replace(`https://127.0.0.1:${registryPort}`, `https://127.0.0.1:${registryLine}`),
  );
});
afterAll(async () => {
  await exchange.close();
  await toA.close();
  await toRegistry.close();
});

const atB = (event: string, since: number) =>
  exchange.log.slice(since).filter((line) => line.site === "hospital-b" && line.event === event);
const isAtB = (bytes: Uint8Array): boolean => exchange.documentsAtB().has(sha256(bytes));

/** Once it is parked, which is committed after it is told. */
const release = (id: string | undefined): Promise<void> =>
  until(`${id} released`, () =>
    exchange
      .admin("hospital-b")
      .post(`/journal/${id}/release`, { reason: "a test" })
      .then(
        () => true,
        () => false,
      ),
  );

/** A patient of whom so many reports are registered. */
let [patients, reports] = [0, 0];
async function patientWith(count: number) {
  patients += 1;
  const patient = { ...chen, national: `A22345600${patients}`, chart: `900000${patients}` };
  const documents: Uint8Array[] = [];
  for (let n = 0; n < count; n += 1) {
    reports += 1;
    const extension = `BETWEEN.${reports}`;
    const bytes = cda({ form: "113", extension, patient, code: "11502-2", display: "x", title: "t", body: "x" });
    await exchange.message(mdmFor(bytes, { controlId: extension, patient }));
    await exchange.registered(reports);
    documents.push(bytes);
  }
  const admit = () =>
    exchange.message(adtFor(`${patient.national}^^^MOI^NI`, { controlId: `ADT${patients}` }), "B_ADT");
  return { documents, admit };
}

test("swapped: two answers of hospital A, each sound, to the other's question deliver nothing", async () => {
  const { documents, admit } = await patientWith(2);
  const genuine: Promise<Reply>[] = [];
  const both = Promise.withResolvers<void>();
  toA.at(retrievals, async (request) => {
    const nth = genuine.push(toA.forward(request));
    if (nth === 2) both.resolve();
    await both.promise;
    return await (genuine[nth === 1 ? 1 : 0] ?? { status: 503 });
  });
  const since = exchange.log.length;
  await admit();
  await until("hospital B refuses both", () => atB("open.parked", since).length === 2);
  expect((await Promise.all(genuine)).map(({ status }) => status)).toEqual([200, 200]);
  expect(atB("open.parked", since).map(({ fields }) => fields.reason)).toEqual(
    Array.from({ length: 2 }, () => "the answer to another request"),
  );
  expect(documents.filter(isAtB)).toEqual([]);

  // Nothing but the swap was amiss.
  toA.at(retrievals);
  for (const { fields } of atB("open.parked", since)) await release(fields.message);
  await until("both at HIS B", () => documents.every(isAtB));
});

type Way = readonly [
  name: string,
  bad: (response: ServerResponse, genuine: () => Promise<Reply>) => unknown,
  "deferred" | "parked",
];

const end =
  (status: number, headers: Readonly<Record<string, string>> = {}, text = "") =>
  (response: ServerResponse) =>
    response.writeHead(status, headers).end(text);
/** What was answered, as far as `part` of it goes. */
const cut = (part: number) => async (response: ServerResponse, genuine: () => Promise<Reply>) => {
  const { status, sealed } = await genuine();
  const octets = sealed && "octets" in sealed ? sealed.octets : new Uint8Array();
  response.writeHead(status, [...(sealed?.headers.flat() ?? []), "Content-Length", String(octets.length)]);
  response.write(octets.subarray(0, octets.length * part), () => response.socket?.destroy());
};
const ways: readonly Way[] = [
  ["a redirect elsewhere", end(307, { Location: "https://127.0.0.1:1/semrs/v1/repository/retrievals" }), "parked"],
  ["202 with a Location elsewhere", end(202, { Location: "https://127.0.0.1:1/semrs/v1" }), "parked"],
  ["200 with a page", end(200, { "Content-Type": "text/html" }, "<html>"), "parked"],
  ["204", end(204), "parked"],
  ["503", end(503, { "Retry-After": "1" }), "deferred"],
  ["502 with a page", end(502, { "Content-Type": "text/html" }, "<html>"), "deferred"],
  ["half of it", cut(0.5), "deferred"],
  ["its first octets", cut(0.01), "deferred"],
  ["nothing", (response) => response.socket?.destroy(), "deferred"],
];

describe.each([
  ["a retrieval", retrievals, "open"],
  ["a question to the registry", queries, "fetch"],
] as const)("%s that is answered with", (_what, path, station) => {
  test.each(ways)("%s", async (_name, bad, event) => {
    const { documents, admit } = await patientWith(1);
    const between = path === retrievals ? toA : toRegistry;
    between.at(path, async (request, response) => {
      await bad(response, () => between.forward(request));
      return undefined;
    });
    const since = exchange.log.length;
    await admit();
    const told = () => atB(`${station}.${event}`, since)[0]?.fields;
    await until(`${station}.${event}`, () => told() !== undefined);
    expect(documents.filter(isAtB)).toEqual([]);
    between.at(path);
    if (event === "parked") await release(told()?.message);
    await until("it is at HIS B", () => documents.every(isAtB));
  });
});
