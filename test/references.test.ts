/** Documents by reference: fetched from where the configuration allows, sealed as they came, and from nowhere else. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import type { IncomingMessage, ServerResponse } from "node:http";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TLSSocket } from "node:tls";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import { readConfig } from "../pipeline/config.ts";
import { isUnder } from "../pipeline/reference.ts";
import { cda, chen, mdmFor } from "./fixtures/documents.ts";
import { acksIn, type House, openHouse } from "./house.ts";
import { sha256, testPki } from "./sites.ts";

let house: House;
let base: string;
let answer: (path: string, response: ServerResponse) => void;
let asked: string[] = [];
const server = { close: (): void => undefined };
beforeAll(async () => {
  const pki = await testPki();
  const file = (name: string): Buffer => readFileSync(join(pki, name));
  const [key, cert] = [file("hospital-b/tls.key"), file("hospital-b/tls.crt")];
  const told = (request: IncomingMessage, response: ServerResponse): void => {
    asked.push(request.url ?? "");
    if ((request.socket as TLSSocket).authorized) answer(request.url ?? "", response);
    else response.writeHead(403).end();
  };
  const https = createServer({ key, cert, ca: file("ca.crt"), requestCert: true, rejectUnauthorized: true }, told);
  await new Promise<void>((done) => https.listen(0, "127.0.0.1", done));
  server.close = () => void https.close();
  base = `https://127.0.0.1:${(https.address() as AddressInfo).port}`;
  house = await openHouse(pki, (yaml) =>
    yaml.replace("charset: from-msh-18", `references: [{ prefix: "${base}/reports/", maxBytes: 65536 }], $&`),
  );
});
afterAll(async () => {
  await house.close();
  server.close();
});
afterEach(() => {
  asked = [];
});

const report = (extension: string, patient = chen): Uint8Array =>
  cda({ form: "113", extension, patient, code: "1-8", display: "d", title: "t", body: "b" });

/** A report whose OBX-5 is only where it is. */
const referring = (controlId: string, address: string, type: "RP" | "ED" = "RP"): Buffer => {
  const value = type === "RP" ? `${address}^HIS^TEXT^XML` : `^TEXT^XML^^${address}`;
  const whole = Buffer.from(mdmFor(report("none"), { controlId })).toString("utf8");
  return Buffer.from(whole.replace(/OBX\|1\|ED\|([^|]*)\|\|[^|]*/, `OBX|1|${type}|$1||${value}`));
};
const sent = async (message: Buffer): Promise<string> => acksIn(await house.ask(message))[0] ?? "";
const kept = (controlId: string) => {
  const row = house.store.arrivals.list({ limit: 1000 }).find((each) => each.controlId === controlId);
  return { row, digests: house.store.items.byArrival(row?.id ?? "").map(({ digest }) => digest) };
};
const digestOf = (bytes: Uint8Array): string => house.store.tokens.of("digest", "", sha256(bytes));
const serve = (bytes: Uint8Array) => (_path: string, response: ServerResponse) => void response.end(bytes);

test.each(["RP", "ED"] as const)("%s: the document is fetched and kept as it came", async (type) => {
  const document = report(`R.${type}`);
  answer = serve(document);
  // An address may hold what separates subcomponents: it is escaped, as any value.
  expect(await sent(referring(`R${type}`, `${base}/reports/view?id=7\\T\\v=2`, type))).toBe(`AA R${type}`);
  expect(asked).toEqual(["/reports/view?id=7&v=2"]);
  expect(kept(`R${type}`).digests).toEqual([digestOf(document)]);
});

test("what is fetched is compared with the patient of its message", async () => {
  answer = serve(report("R.OTHER", { ...chen, national: "B223456789", chart: "OTHER" }));
  expect(await sent(referring("ROTHER", `${base}/reports/other`))).toBe("AE ROTHER");
  expect(kept("ROTHER").row).toMatchObject({ state: "refused", code: "PATIENT_MISMATCH" });
});

test("one that its message withdraws is not asked for: it may be gone from there", async () => {
  answer = serve(report("R.GONE"));
  expect(await sent(referring("GONE1", `${base}/reports/gone`))).toBe("AA GONE1");
  asked = [];
  const withdrawn = referring("GONE2", `${base}/reports/gone`).toString("utf8");
  const message = withdrawn
    .replace("MDM^T02", "MDM^T04")
    .replace(/\|F\r$/, "|D\r")
    .replace("DOC-GONE2", "DOC-GONE1");
  expect(await sent(Buffer.from(message))).toBe("AA GONE2");
  expect(kept("GONE2").row).toMatchObject({ state: "done", code: "CANCELLED" });
  expect(asked).toEqual([]);
});

test.each<[string, (path: string) => string]>([
  ["another host", () => "https://127.0.0.2/reports/1"],
  ["another path", () => `${base}/admin/1`],
  ["out of the path", () => `${base}/reports/../admin/1`],
  ["out of the path, encoded", () => `${base}/reports/%2e%2e/admin/1`],
  ["a name and password", () => `${base.replace("//", "//a:b@")}/reports/1`],
  ["the host in front of another", () => `${base}.example/reports/1`],
  ["in clear", () => `${base.replace("https", "http")}/reports/1`],
  ["a file", () => "file:///etc/passwd"],
  ["a share", () => "\\E\\\\E\\server\\E\\reports\\E\\1.xml"],
])("%s is never asked for", async (name, address) => {
  answer = serve(report("R.NEVER"));
  const controlId = `N${name.length}${name.codePointAt(0)}`;
  expect(await sent(referring(controlId, address("")))).toBe(`AE ${controlId}`);
  expect(asked).toEqual([]);
  expect(kept(controlId).row).toMatchObject({ state: "refused", code: "DOCUMENT_MALFORMED" });
});

test.each<[string, typeof answer, string, string, number]>([
  ["none there", (_path, response) => response.writeHead(404).end(), "AE", "DOCUMENT_UNKNOWN", 1],
  ["nobody logs in", (_path, response) => response.writeHead(401).end(), "AE", "PEER_REFUSED", 1],
  [
    "a redirect",
    (_path, response) => response.writeHead(302, { location: "/reports/else" }).end(),
    "AE",
    "PEER_REFUSED",
    1,
  ],
  ["empty", (_path, response) => response.end(), "AE", "DOCUMENT_MALFORMED", 1],
  ["over its limit, told", (_path, response) => response.end(Buffer.alloc(65_537)), "AR", "TOO_LARGE", 1],
  [
    "over its limit, not told",
    (_path, response) => {
      response.write(Buffer.alloc(65_536, "a"));
      response.end("a");
    },
    "AR",
    "TOO_LARGE",
    1,
  ],
  ["no document", serve(Buffer.from("<html></html>")), "AA", "NO_DOCUMENT", 1],
  ["out of order for long", (_path, response) => response.writeHead(503).end(), "AR", "PEER_BUSY", 3],
])("%s", async (name, given, ack, code, times) => {
  answer = given;
  const controlId = `F${name.length}${name.codePointAt(0)}`;
  expect(await sent(referring(controlId, `${base}/reports/name-of-a-patient`))).toBe(`${ack} ${controlId}`);
  expect(asked).toHaveLength(times);
  expect(kept(controlId).row?.code).toBe(code);
});

test("a server that breaks off is asked again, and half a document is none", async () => {
  const document = report("R.AGAIN");
  let calls = 0;
  answer = (_path, response) => {
    calls += 1;
    if (calls > 1) response.end(document);
    else
      response
        .writeHead(200, { "content-length": document.length })
        .write(document.subarray(0, 100), () => response.destroy());
  };
  expect(await sent(referring("RAGAIN", `${base}/reports/again`))).toBe("AA RAGAIN");
  expect([calls, kept("RAGAIN").digests]).toEqual([2, [digestOf(document)]]);
});

test("no log line holds the address: it may name a patient", () => {
  expect(house.log.some(({ event }) => event === "source.fetched")).toBe(true);
  expect(JSON.stringify(house.log)).not.toMatch(/name-of-a-patient|reports\//);
});

test("a prefix is compared as the address is parsed", () => {
  const under = (address: string): boolean => isUnder(new URL(address), "https://his.example/reports/");
  expect(under("HTTPS://HIS.example:443/reports/1")).toBe(true);
  expect(under("https://his.example/reports\\..\\x")).toBe(false);
  expect(under("https://his.example/reportsx/1")).toBe(false);
});

test.each([
  ["http://his.example/reports/", "CONFIG_CLEAR_TEXT"],
  ["https://his.example/reports", "CONFIG_VALUE"],
  ["https://his.example/?id=/", "CONFIG_VALUE"],
  ["file:///srv/reports/", "CONFIG_VALUE"],
  ["https://name:word@his.example/reports/", "CONFIG_VALUE"],
])("semrs check refuses the prefix %s", (prefix, code) => {
  const file = join(mkdtempSync(join(tmpdir(), "semrs-references-")), "channels.yaml");
  const shipped = readFileSync(join(import.meta.dirname, "..", "channels.yaml"), "utf8");
  writeFileSync(file, shipped.replace("charset: from-msh-18", `references: [{ prefix: "${prefix}" }], $&`));
  const { findings } = readConfig(file, { SITE: "hospital-a" });
  expect(findings.map((each) => each.code)).toContain(code);
});
