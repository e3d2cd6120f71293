/** What was kept sealed for a record or a message that then failed: its files go at once, not with the next start. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, beforeAll, expect, test } from "vitest";
import { bytesOf, contentFrom, octets } from "./envelope/people.ts";
import { peerOf } from "./exchange/peer.ts";
import { cda, chen, mdmFor } from "./fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "./sites.ts";

const kibibyte = 1024;
let pki: string;
let exchange: TestExchange;
beforeAll(async () => {
  pki = await testPki();
});
afterEach(() => exchange.close());

/** Files that hold something: blank ones are made ahead. */
const written = (site: string): number => {
  const blobs = join(exchange.folder, "data", site, "blobs");
  return readdirSync(blobs, { recursive: true, encoding: "utf8" })
    .map((name) => statSync(join(blobs, name), { throwIfNoEntry: false }))
    .filter((each) => each?.isFile() && each.size > 0).length;
};
const blobsAtB = (): unknown => {
  const db = new DatabaseSync(join(exchange.folder, "data", "hospital-b", "semrs.db"), { readOnly: true });
  try {
    return db.prepare("SELECT count(*) AS n FROM blob").get()?.n;
  } finally {
    db.close();
  }
};

test("a record that breaks off in its last part leaves nothing at the house that was to have it, and comes whole later", async () => {
  exchange = await openExchange(pki);
  const peer = peerOf(pki, exchange.env.B_PORT);
  const draft = await peer.draft();
  const images = await Promise.all([1, 2, 3].map((n) => contentFrom(octets(200 * kibibyte, n), "dicom", `1.2.3.${n}`)));
  const sealed = await peer.push({ ...draft, content: [...draft.content.slice(0, 1), ...images] });
  const body = await bytesOf(sealed.body());
  const { outgoing } = peer.begin(sealed.headers, body.length);
  outgoing.write(body.subarray(0, -50 * kibibyte));
  await until("two images are there", () => written("hospital-b") >= 2);
  outgoing.destroy();
  await until("nothing of it is left", () => written("hospital-b") === 0);
  expect(blobsAtB()).toBe(0);
  expect(await peer.post(sealed.headers, body)).toMatchObject({ status: 201, isRepeated: false });
  expect([written("hospital-b"), blobsAtB()]).toEqual([3, 4]);
});

test("a message whose second document is refused leaves nothing of its first but what it came as", async () => {
  exchange = await openExchange(pki);
  const named = { form: "113", patient: chen, code: "11502-2", display: "x", title: "檢驗報告" } as const;
  const report = cda({ ...named, extension: "STAGED.1", body: "x".repeat(100 * kibibyte) });
  const broken = Buffer.from(
    cda({ ...named, extension: "STAGED.2", body: "x" })
      .toString()
      .replace("</ClinicalDocument>", ""),
  );
  const second = Buffer.from(`OBX|2|ED|CDA^x^L||^text^xml^Base64^${broken.toString("base64")}||||||F\r`);
  const sent = exchange.message(Buffer.concat([mdmFor(report, { controlId: "M1" }), second]));
  expect(await sent).toMatchObject({ detail: expect.stringMatching(/^AE/) });
  expect(exchange.log.filter(({ event }) => event === "validate.refused")[0]?.fields).toMatchObject({
    code: "CDA_INVALID",
  });
  expect(written("hospital-a")).toBe(1);
});

test("a large message that comes on two connections at once is one file", async () => {
  exchange = await openExchange(pki);
  const named = { form: "113", patient: chen, code: "11502-2", display: "x", title: "檢驗報告" } as const;
  const sent = Array.from({ length: 5 }, async (_, n) => {
    const report = cda({ ...named, extension: `TWICE.${n}`, body: "x".repeat(100 * kibibyte) });
    const message = mdmFor(report, { controlId: `M${n}` });
    return await Promise.all([exchange.message(message), exchange.message(message)]);
  });
  for (const outcome of (await Promise.all(sent)).flat()) expect(outcome).toMatchObject({ detail: "AA" });
  await exchange.registered(5);
  // Of each the document, and the message for the hour in which somebody may read it.
  expect(written("hospital-a")).toBe(10);
});
