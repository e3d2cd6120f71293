/** What hospital A hands out under a Location, asked by programs with keys of hospital B and of others (RFC 9110 13, 14, 15). */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { request } from "node:https";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { pemToDer, readCertificate } from "../../envelope/certificate.ts";
import { contentOf, type Sealed } from "../../envelope/index.ts";
import { commandMediaType, writeCommand } from "../../formats/command.ts";
import { bytesOf, wire } from "../envelope/people.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { cancelFor, cda, chen, mdmFor, sampleMessage } from "../fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { askingOf } from "./asking.ts";
import { type Answer, openBetween, type Peer, peerOf, read } from "./peer.ts";

const prefer = ["Prefer", "respond-async"] as const;
const path = "/repository/retrievals";
const mebibyte = 1 << 20;

type Got = { readonly status: number; readonly body: Buffer; readonly headers: Readonly<Record<string, string>> };
type Known = { readonly uniqueId: string; readonly manifestSha256: string };

let pki: string;
let exchange: TestExchange;
let peer: Peer;
let large: Known;
let small: Known;

beforeAll(async () => {
  pki = await testPki();
  exchange = await openExchange(pki);
  peer = peerOf(pki, exchange.env.A_PORT);
  await exchange.instances(ctStudy({ size: 1024, instancesPerSeries: 3 }).map(({ bytes }) => bytes));
  await exchange.message(sampleMessage("mdm-t02-116"));
  const report = {
    form: "113",
    extension: "SMALL",
    patient: chen,
    code: "11502-2",
    display: "x",
    title: "t",
    body: "x",
  };
  await exchange.message(mdmFor(cda(report), { controlId: "SMALL" }));
  await exchange.registered(2);
  const asking = askingOf(pki, peer, () => exchange.env.REGISTRY_PORT);
  const patientIds = [{ root: "2.16.886.101.20003.20001", extension: chen.national }];
  const query = { command: "query", query: "findDocuments", purposeOfUse: "TREAT", limit: 10, patientIds };
  const { found } = await asking.ask("hospital-b", "query", Buffer.from(JSON.stringify(query)));
  const known = (found?.entries ?? []).map(({ entry, manifestSha256 }) => ({ ...entry, manifestSha256 }));
  const [one, other] = [known.find(({ form }) => form === "116"), known.find(({ form }) => form === "113")];
  if (!one || !other) throw new Error(`${known.length} documents are registered`);
  [large, small] = [one, other];
}, 60_000);
afterAll(() => exchange.close());

/** Hospital B asks for a record. */
async function ask(known: Known, more: readonly (readonly [string, string])[] = [prefer]) {
  const { uniqueId, manifestSha256 } = known;
  const command = writeCommand<"retrieve">({ command: "retrieve", uniqueId, manifestSha256 });
  const sealed = await peer.push(
    {
      purpose: "retrieve",
      sender: "hospital-b",
      messageType: "retrieve",
      to: [{ org: "hospital-a", certificate: peer.certificateOf("hospital-a") }],
      content: [await contentOf(command, "command", commandMediaType)],
    },
    join(pki, "hospital-b"),
  );
  const to = { as: join(pki, "hospital-b"), path, port: exchange.env.A_PORT };
  const answer = await peer.post([...sealed.headers, ...more], await bytesOf(sealed.body()), to);
  return { sealed, answer, location: headerOf(answer, "location") };
}
const headerOf = ({ headers }: Answer, wanted: string): string =>
  headers.find(([name]) => name.toLowerCase() === wanted)?.[1] ?? "";

function get(
  location: string,
  headers: Readonly<Record<string, string>> = {},
  { as = "hospital-b", method = "GET" } = {},
): Promise<Got> {
  const { promise, resolve, reject } = Promise.withResolvers<Got>();
  const keys = join(pki, as);
  const tls = { key: read(keys, "tls.key"), cert: read(keys, "tls.crt"), ca: read(pki, "ca.crt") };
  const options = {
    host: "127.0.0.1",
    port: exchange.env.A_PORT,
    path: location,
    method,
    headers,
    agent: false,
    ...tls,
  };
  request(options, async (response) => {
    const body = Buffer.concat(await response.toArray());
    resolve({ status: response.statusCode ?? 0, body, headers: response.headers as Record<string, string> });
  })
    .on("error", reject)
    .end();
  return promise;
}

/** Whose sign certificate it is. */
function partner(sha256: string) {
  const org = ["registry", "hospital-a"].find((each) => {
    const [der] = pemToDer(read(join(pki, each), "sign.crt"));
    return der && readCertificate(der).sha256 === sha256;
  });
  return org ? { org, profiles: ["semrs-2"] } : undefined;
}

/** The parts of the record, as hospital B opens what it was given. */
async function sizesIn({ body, headers }: Got, { id, manifestSha256 }: Sealed): Promise<readonly number[]> {
  const reply = { inReplyTo: id, requestDigest: manifestSha256, from: "hospital-a" };
  const between = { from: "hospital-a", to: "hospital-b" };
  const raw = Object.entries(headers);
  const opened = await openBetween(pki, between, raw, wire(body), { purposes: ["response"], reply, partner });
  const sizes: number[] = [];
  for await (const part of opened.parts()) sizes.push((await bytesOf(part.cipher)).length);
  return sizes;
}

describe("who is answered with a Location", () => {
  test("who prefers it and asks for a large record; nothing in it tells of whom it is", async () => {
    const { answer, location } = await ask(large);
    expect({ ...answer, headers: undefined }).toMatchObject({ status: 202, profile: undefined, problem: "" });
    expect(headerOf(answer, "preference-applied")).toBe("respond-async");
    expect(location).toMatch(/^\/semrs\/v1\/repository\/retrievals\/[0-9a-f]{32}$/);
  });

  test.each<[string, () => Known, readonly (readonly [string, string])[]]>([
    ["who does not prefer it", () => large, []],
    ["who prefers something else", () => large, [["Prefer", "return=minimal, respond-asynchronous"]]],
    ["whoever asks for a small one", () => small, [prefer]],
  ])("%s is answered at once", async (_who, known, headers) => {
    const { answer } = await ask(known(), headers);
    expect(answer).toMatchObject({ status: 200, profile: "semrs-2" });
  });
});

describe("what is under a Location", () => {
  let location: string;
  let sealed: Sealed;
  let whole: Got;
  beforeAll(async () => {
    ({ location, sealed } = await ask(large));
    whole = await get(location);
  });

  test("the record, sealed for who asked; the same octets each time, and not those of another Location", async () => {
    expect(whole.status).toBe(200);
    expect(whole.headers["content-length"]).toBe(String(whole.body.length));
    expect(whole.headers["accept-ranges"]).toBe("bytes");
    expect(whole.headers.etag).toMatch(/^"[0-9a-f]{32}"$/);
    const sizes = await sizesIn(whole, sealed);
    expect(sizes).toHaveLength(7);
    expect(Math.min(...sizes.slice(1))).toBeGreaterThan(2 * mebibyte);
    expect((await get(location)).body.equals(whole.body)).toBe(true);
    const again = await ask(large);
    expect(again.location).not.toBe(location);
    const other = await get(again.location);
    expect(other.headers.etag).not.toBe(whole.headers.etag);
    expect(other.body.equals(whole.body)).toBe(false);
  });

  test.each([0, 1, 5_000, 40_000, 3_000_001, 10_000_000])("RFC 9110 15.3.7 from octet %d on", async (from) => {
    const { status, headers, body } = await get(location, { Range: `bytes=${from}-` });
    const { length } = whole.body;
    expect(status).toBe(206);
    expect(headers["content-range"]).toBe(`bytes ${from}-${length - 1}/${length}`);
    expect(body.equals(whole.body.subarray(from))).toBe(true);
    expect(headers["x-semrs-id"]).toBe(whole.headers["x-semrs-id"]);
  });

  test("15.3.7 one in the middle, and the last ones; with If-Range only what the asker has not", async () => {
    const { etag = "" } = whole.headers;
    const middle = await get(location, { Range: "bytes=4000000-4000099", "If-Range": etag });
    expect(middle.status).toBe(206);
    expect(middle.body.equals(whole.body.subarray(4_000_000, 4_000_100))).toBe(true);
    expect(middle.headers).toMatchObject({ etag, "content-length": "100" });
    expect(middle.headers["x-semrs-id"]).toBeUndefined();
    expect((await get(location, { Range: "bytes=-10" })).body.equals(whole.body.subarray(-10))).toBe(true);
  });

  test("15.5.17 past the end: 416 with the length", async () => {
    const { length } = whole.body;
    const { status, headers, body } = await get(location, { Range: `bytes=${length}-` });
    expect([status, headers["content-range"], body.length]).toEqual([416, `bytes */${length}`, 0]);
  });

  test.each([
    ["13.1.5 of another representation", { Range: "bytes=5-", "If-Range": '"0"' }],
    ["14.2 several at once", { Range: "bytes=0-1,5-6" }],
  ])("%s: all of it", async (_clause, headers) => {
    const got = await get(location, headers);
    expect(got.status).toBe(200);
    expect(got.body.equals(whole.body)).toBe(true);
  });

  test("14.2 HEAD knows no ranges, and has no body", async () => {
    const { status, headers, body } = await get(location, { Range: "bytes=5-" }, { method: "HEAD" });
    expect([status, headers["content-length"], body.length]).toEqual([200, String(whole.body.length), 0]);
  });

  test("the certificate of another house, and a Location that is none, are told what a path is that never was", async () => {
    const never = await get("/semrs/v1/nothing");
    const nobodys = location.replace(/[0-9a-f]{32}$/, "0".repeat(32));
    for (const got of [
      await get(location, {}, { as: "registry" }),
      await get(location, {}, { as: "hospital-a" }),
      await get(location, { Range: "bytes=5-" }, { as: "registry" }),
      await get(nobodys),
      await get(`${location}0`),
      await get(location.toUpperCase().replace(/.*RETRIEVALS/, "/semrs/v1/repository/retrievals")),
    ]) {
      expect(never.status).toBe(404);
      expect({ status: got.status, body: got.body.toString() }).toEqual({ status: 404, body: never.body.toString() });
      expect(Object.keys(got.headers)).toEqual(Object.keys(never.headers));
    }
    expect((await get(location)).status).toBe(200);
  });

  test("after a restart of hospital A it goes on where it was; when its time is over it is gone", async () => {
    const folder = join(exchange.folder, "data/hospital-a/retrievals");
    await exchange.stop("hospital-a");
    await exchange.start("hospital-a");
    const rest = await get(location, { Range: "bytes=7000000-", "If-Range": whole.headers.etag ?? "" });
    expect(rest.status).toBe(206);
    expect(rest.body.equals(whole.body.subarray(7_000_000))).toBe(true);
    await exchange.stop("hospital-a");
    for (const name of readdirSync(folder)) {
      const bytes = readFileSync(join(folder, name), "latin1");
      const over = bytes.replace(/"until":(\d)/, (_, digit: string) => `"until":${Number(digit) - 1}`);
      expect(over).not.toBe(bytes);
      writeFileSync(join(folder, name), over, "latin1");
    }
    await exchange.start("hospital-a");
    expect((await get(location)).status).toBe(404);
  });
});

test("a record that its author has cancelled is handed on no further", async () => {
  const { location } = await ask(large);
  expect((await get(location, { Range: "bytes=0-9" })).status).toBe(206);
  await exchange.message(cancelFor("CANCEL", "DOC-S116"));
  await until("gone", async () => (await get(location, { Range: "bytes=10-19" })).status === 404);
});
