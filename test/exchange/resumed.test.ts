/** Hospital B fetches a large record over a line that is cut, from a hospital A that restarts: what it has it does not ask for again. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { ctStudy } from "../fixtures/dicom.ts";
import { adtFor, chen, sampleMessage } from "../fixtures/documents.ts";
import { dataSetSha256, openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { type Line, openLine } from "./cutting.ts";

const mebibyte = 1 << 20;
const [direct, overLine] = ["$" + "{A_PORT:8441}", "$" + "{A_LINE}"];

let exchange: TestExchange;
let line: Line;
beforeAll(async () => {
  line = await openLine(() => exchange.env.A_PORT);
  // One question: two at once may both be answered with the record.
  const once = { AGAIN_1: "1h", AGAIN_2: "2h", AGAIN_3: "3h" };
  exchange = await openExchange(await testPki(), { RETRY: "100ms", A_LINE: line.port, ...once }, (yaml) =>
    yaml.replace(`https://127.0.0.1:${direct}`, `https://127.0.0.1:${overLine}`),
  );
}, 60_000);
afterAll(async () => {
  await exchange.close();
  await line.close();
});

const events = (site: string, event: string) =>
  exchange.log.filter((each) => each.site === site && each.event === event).map(({ fields }) => fields);

test("the line is cut five times and hospital A started anew: the images at PACS B are those of PACS A", async () => {
  const study = ctStudy({ size: 1024, instancesPerSeries: 4 });
  await exchange.instances(study.map(({ bytes }) => bytes));
  await exchange.message(sampleMessage("mdm-t02-116"));
  await exchange.registered(1);
  // Within the head of the answer, in the document, in one image, in another, and at the very end.
  const all = study.reduce((sum, { bytes }) => sum + bytes.length, 0);
  const before = line.octets();
  for (const place of [20_000, 60_000, 3 * mebibyte, 9 * mebibyte, all]) line.cutAt(before + place);
  const third = until("the third cut", () => line.cuts() === 3, 60_000).then(async () => {
    line.block(true);
    await exchange.stop("hospital-a");
    await exchange.start("hospital-a");
    line.block(false);
  });
  await exchange.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId: "CUT" }), "B_ADT");
  await third;
  await until("all images at PACS B", () => exchange.instancesAtB().size === study.length, 60_000);
  expect(exchange.instancesAtB()).toEqual(
    new Map(study.map(({ bytes, sopInstanceUid }) => [sopInstanceUid, dataSetSha256(bytes)])),
  );
  expect(line.cuts()).toBe(5);
  // One answer was asked for, and its octets came once: what is more are heads, handshakes and what a cut has swallowed.
  expect(events("hospital-a", "repository.answered")).toHaveLength(1);
  const resumed = events("hospital-b", "fetch.resumed").map(({ bytes = 0 }) => bytes);
  expect(resumed.length).toBeGreaterThanOrEqual(4);
  expect(resumed).toEqual([...resumed].sort((one, other) => one - other));
  expect(resumed.at(-1)).toBeGreaterThan(8 * mebibyte);
  expect(line.octets() - before).toBeLessThan(all + mebibyte);
  const handed = events("hospital-a", "repository.handed").map(({ bytes = 0 }) => bytes);
  expect(handed.at(-1)).toBeLessThan(all - 8 * mebibyte);
}, 120_000);
