/** Two houses that agreed on semrs-2017: what it carries, what it does not, one attempt a key, and its end for good. */
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Traced } from "../../commands/journal/trace.ts";
import { pemToDer } from "../../envelope/certificate.ts";
import { legacySignerFrom, seal2017 } from "../../envelope/index.ts";
import {
  attack,
  blockBytes,
  careless,
  type Envelope,
  partsOf,
  type Reader,
  wantedOf,
} from "../envelope/padding-oracle.ts";
import { bytesOf } from "../envelope/people.ts";
import { inPieces } from "../envelope/samples.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { cancelFor, cda, chen, mdmFor, sampleMessage } from "../fixtures/documents.ts";
import type { LoggedLine } from "../sites.ts";
import { dataSetSha256, openExchange, sha256, type TestExchange, testPki, until } from "../sites.ts";
import { type Peer, peerOf, read } from "./peer.ts";

let pki: string;
let exchange: TestExchange;
let peer: Peer;
beforeAll(async () => {
  pki = await testPki({ legacy: true });
  exchange = await openExchange(pki, { RETRY: "100ms" }, (yaml) =>
    yaml
      .replaceAll("route: [repository]", "route: [repository, hospital-b]")
      .replaceAll(
        /(certificates: "\$\{PKI:pki\}\/hospital-[ab]") \}/g,
        "$1, profiles: [semrs-2017], allowLegacy: true, transport: rsa-pkcs1 }",
      ),
  );
  peer = peerOf(pki, exchange.env.B_PORT);
});
afterAll(() => exchange.close());

const trace = (id: string, at: "hospital-a" | "hospital-b" = "hospital-a"): Promise<Traced> =>
  exchange.admin(at).get<Traced>(`/trace/${id}`);
type Line = {
  readonly id: string;
  readonly integrity?: string;
  readonly receipts: readonly { kind: string; from: string }[];
};
const recordsAt = (at: "hospital-a" | "hospital-b"): Promise<readonly Line[]> =>
  exchange.admin(at).get<Line[]>("/records");
const told = (matches: (line: LoggedLine) => boolean): boolean => exchange.log.some(matches);

const report = (extension: string): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });
const image = ctStudy({ instancesPerSeries: 1 })[0]?.bytes ?? Buffer.alloc(0);

/** Hospital A's keys in a program of one's own. */
async function sealed(document: Uint8Array): Promise<Envelope> {
  const at = (org: string, name: string): string => read(join(pki, org), name);
  const [certificate = new Uint8Array()] = pemToDer(at("hospital-b", "legacy-decrypt.crt"));
  const envelope = await seal2017(
    {
      sender: "hospital-a",
      to: { org: "hospital-b", certificate, transport: "rsa-pkcs1" },
      messageType: "113",
      document,
      instances: [{ size: image.length, clear: () => inPieces(image) }],
    },
    legacySignerFrom(at("hospital-a", "legacy-sign.key"), at("hospital-a", "legacy-sign.crt")),
  );
  return { headers: envelope.headers, body: await bytesOf(envelope.body()) };
}

const post = async ({ headers, body }: Envelope, path?: string): Promise<string> => {
  const { status, problem } = await peer.post(headers, body, path ? { path } : {});
  return `${status} ${problem.replace(/urn:uuid:[0-9a-f-]+/, "")}`;
};
const refusal =
  '422 {"type":"urn:semrs:problem:unopenable","title":"The envelope could not be opened.","status":422,"instance":""}';
const stored = "204 ";
/** One bit of the document's third block, which nobody reads before the verdict. */
const changed = async ({ headers, body }: Envelope): Promise<Envelope> => {
  const [document = Buffer.alloc(0)] = await partsOf({ headers, body });
  const flipped = Buffer.from(body);
  const at = body.indexOf(document) + 2 * blockBytes;
  flipped[at] = (flipped[at] ?? 0) ^ 1;
  return { headers, body: flipped };
};

/** Entries of hospital B's audit log; the last one tells that it was read. */
async function auditedAtB(): Promise<readonly { event: string; outcome: string; code: string; reason: string }[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await exchange.admin("hospital-b").download("/audit", { reason: "a test" }))
    chunks.push(chunk);
  return Buffer.concat(chunks)
    .toString("utf8")
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line));
}

test("a report and its study arrive as they were sent; the images are told as signed by nobody, and no proof comes back", async () => {
  const study = ctStudy({ instancesPerSeries: 2 });
  expect(await exchange.message(sampleMessage("mdm-t02-116"))).toMatchObject({ state: "delivered" });
  await exchange.instances(study.map(({ bytes }) => bytes));
  await until("the document at HIS B", () => exchange.documentsAtB().size === 1);
  await until("the study at PACS B", () => exchange.instancesAtB().size === study.length);
  expect(exchange.instancesAtB()).toEqual(
    new Map(study.map(({ bytes, sopInstanceUid }) => [sopInstanceUid, dataSetSha256(bytes)])),
  );
  await until(
    "delivered at B",
    async () =>
      (await exchange.admin("hospital-b").get<{ records: { delivered?: number } }>("/counts")).records.delivered === 1,
  );
  const [[sent], [received]] = [await recordsAt("hospital-a"), await recordsAt("hospital-b")];
  expect(received).toMatchObject({ integrity: "none", receipts: [] });
  const { steps, deliveries } = await trace(received?.id ?? "", "hospital-b");
  expect(steps.find(({ event }) => event === "opened")?.detail).toBe("document verified; 4 images, integrity: none");
  expect(deliveries.map(({ kind }) => kind).sort()).toEqual(["message", "study"]);
  expect(sent?.receipts.map(({ from }) => from)).not.toContain("hospital-b");
  // B may have delivered it before A has its answer.
  const pushed = async () => (await trace(sent?.id ?? "")).steps.find(({ event }) => event === "pushed");
  await until("pushed", async () => (await pushed()) !== undefined);
  expect((await pushed())?.detail).toBe("semrs-2017: stored, without a receipt");
  const { checks } = await exchange.admin("hospital-b").get<{ checks: { check: string }[] }>("/health/ready");
  expect(checks.map(({ check }) => check)).toEqual(
    expect.arrayContaining(["certificate legacy-sign", "certificate legacy-decrypt"]),
  );
  // Loudly, at both ends.
  for (const loud of ["route.pushed", "repository.received"])
    expect(told(({ event, level }) => event === loud && level === "warn")).toBe(true);
});

test("it tells nobody of a correction: a person is told to do it", async () => {
  await exchange.message(mdmFor(report("S.1"), { controlId: "S1", name: "DOC1^HIS" }));
  await until("the document at HIS B", () => exchange.documentsAtB().has(sha256(report("S.1"))));
  await until("pushed", async () => (await trace("S1")).steps.some(({ event }) => event === "pushed"));
  await exchange.message(cancelFor("S2", "DOC1^HIS"));
  await until("parked", () => told(({ fields }) => /carries documents and nothing else/.test(fields.reason ?? "")));
});

describe("one key, one attempt", () => {
  test("94 the same octets again are answered as before, others under the same key never, not even after a restart", async () => {
    const envelope = await sealed(report("K.1"));
    const before = (await recordsAt("hospital-b")).length;
    expect(await Promise.all([post(envelope), post(envelope)])).toEqual([stored, stored]);
    expect(await post(await changed(envelope))).toBe(refusal);
    await exchange.stop("hospital-b");
    await exchange.start("hospital-b");
    expect(await post(envelope)).toBe(stored);
    expect(await post(await changed(envelope))).toBe(refusal);
    expect((await recordsAt("hospital-b")).length).toBe(before + 1);
    const audited = await auditedAtB();
    expect(audited.filter(({ event, outcome }) => event === "submission" && outcome === "done").length).toBe(
      before + 1,
    );
    expect(audited.at(-2)).toMatchObject({
      outcome: "refused",
      code: "ENVELOPE_NOT_OPENED",
      reason: expect.stringContaining("the one-time key was used before"),
    });
  });

  test("94 a failure spends the key too: what is right comes too late, and is sealed anew", async () => {
    const envelope = await sealed(report("K.2"));
    const variant = await changed(envelope);
    expect(await post(variant)).toBe(refusal);
    expect(await post(variant)).toBe(refusal);
    expect(await post(envelope)).toBe(refusal);
    expect(await post(await sealed(report("K.2")))).toBe(stored);
    expect(told(({ fields }) => /part 2: not the digest of part 1/.test(fields.reason ?? ""))).toBe(true);
  });

  test("the same content sealed anew after a lost answer is one record", async () => {
    const before = (await recordsAt("hospital-b")).length;
    expect(await post(await sealed(report("K.3")))).toBe(stored);
    expect(await post(await sealed(report("K.3")))).toBe(stored);
    expect((await recordsAt("hospital-b")).length).toBe(before + 1);
  });

  test("85 a document that is signed and no document, or an image that is none, is refused as everything else is", async () => {
    expect(await post(await sealed(Buffer.from("<not-a-document/>")))).toBe(refusal);
  });

  test.each(["/repository/receipts", "/repository/retrievals"])("%s takes nothing of it", async (path) => {
    expect(await post(await sealed(report("K.4")), path)).toMatch(/^415 /);
  });
});

test("what a drained channel does not take is no failure of the partner's: it is taken once that is resumed, however often it came", async () => {
  const envelope = await sealed(report("D.1"));
  const stop = (verb: string) => exchange.admin("hospital-b").post(`/stops/incoming/${verb}`, { reason: "a test" });
  await stop("drain");
  for (let n = 0; n < 25; n += 1) expect(await post(envelope)).toMatch(/^503 /);
  await stop("resume");
  expect(await post(envelope)).toBe(stored);
});

describe("the padding oracle over the wire", () => {
  test("a careless server gives the document away", async () => {
    const envelope = await sealed(report("O.1"));
    const reader = careless(read(join(pki, "hospital-b"), "legacy-decrypt.key"));
    const server = createServer(async (request, response) => {
      const headers = Object.entries(request.headers).map(([name, value]): [string, string] => [name, String(value)]);
      response.end(
        await reader({
          headers: headers.toSorted(
            ([one], [other]) => Number(one === "content-type") - Number(other === "content-type"),
          ),
          body: Buffer.concat(await request.toArray()),
        }),
      );
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
    const ask: Reader = async ({ headers, body }) =>
      await (await fetch(url, { method: "POST", headers: Object.fromEntries(headers), body })).text();
    const { recovered } = await attack(envelope, ask, 1);
    server.closeAllConnections();
    server.close();
    expect(recovered?.toString("latin1")).toBe(wantedOf(report("O.1"), 1));
  });

  test("85 ours says one thing to the right guess and to wrong ones, and after 20 failures nothing for an hour", async () => {
    const document = report("O.2");
    const envelope = await sealed(document);
    const [encEmr = Buffer.alloc(0)] = await partsOf(envelope);
    const last = wantedOf(document, 1).charCodeAt(0);
    const right = (encEmr[4 * blockBytes - 1] ?? 0) ^ last;
    const guesses = [
      ...Array.from({ length: 5 }, (_, n) => (right + n + 1) & 255),
      right,
      ...Array.from({ length: 18 }, (_, n) => (right + n + 8) & 255),
    ];
    const answers: string[] = [];
    const ask: Reader = async (variant) => {
      answers.push(await post(variant));
      return answers.at(-1) ?? "";
    };
    const before = exchange.log.length;
    const { recovered } = await attack(envelope, ask, 1, guesses);
    expect(recovered).toBeUndefined();
    const [first] = answers;
    const limited = answers.findIndex((answer) => answer.startsWith("429 "));
    expect(first).toBe(refusal);
    // The right guess is the sixth: it was answered before the limit.
    expect(limited).toBeGreaterThan(5);
    expect(limited).toBeLessThanOrEqual(20);
    expect(new Set(answers.slice(0, limited)).size).toBe(1);
    expect(new Set(answers.slice(limited)).size).toBe(1);
    // Nothing was tried with the key after the first of them, right guess or not.
    const reasons = exchange.log
      .slice(before)
      .flatMap(({ event, fields }) => (event === "repository.refused" ? [fields.reason ?? ""] : []));
    expect(reasons.slice(1, limited).filter((reason) => !reason.includes("the one-time key was used before"))).toEqual(
      [],
    );
    // The limit is the partner's, whatever it sends.
    expect(await post(await sealed(report("O.3")))).toMatch(/^429 /);
  });
});

test("98 a partner's first verified semrs-2 envelope ends it for good, both ways, and outlasts a restart", async () => {
  // The failures of before are forgotten.
  await exchange.stop("hospital-b");
  await exchange.start("hospital-b");
  const other = await peer.push({}, join(pki, "hospital-b"));
  expect((await peer.post(other.headers, await bytesOf(other.body()))).status).toBe(422);
  expect(await post(await sealed(report("E.1")))).toBe(stored);

  const modern = await peer.push();
  expect(await peer.post(modern.headers, await bytesOf(modern.body()))).toMatchObject({
    status: 201,
    profile: "semrs-2",
  });
  expect(await post(await sealed(report("E.2")))).toMatch(/^415 /);
  await exchange.stop("hospital-b");
  await exchange.start("hospital-b");
  expect(await post(await sealed(report("E.2")))).toMatch(/^415 /);
  expect(told(({ event, level }) => event === "repository.upgraded" && level === "warn")).toBe(true);

  // Hospital A learns it from hospital B's first envelope, here one that it has no channel for, and sends what B can.
  const [at, keys] = [exchange.env.A_PORT, join(pki, "hospital-b")];
  const to = [{ org: "hospital-a", certificate: peer.certificateOf("hospital-a") }];
  const back = await peer.push({ sender: "hospital-b", to }, keys);
  const answer = await peer.post(back.headers, await bytesOf(back.body()), { as: keys, port: at });
  expect(answer).toMatchObject({ status: 403, profile: "semrs-2" });
  await exchange.message(mdmFor(report("E.3"), { controlId: "E3" }));
  await until("receipted", async () => (await trace("E3")).steps.some(({ event }) => event === "receipted"));
});
