/** What examining documents costs: memory that stays flat, large documents in a worker with a time limit, broken input from seeds. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { diag } from "libxml2-wasm";
import { expect, test } from "vitest";
import { Fault } from "../../errors.ts";
import { examine } from "../../formats/cda-examine.ts";
import { examineDocument, maxSmallBytes } from "../../formats/cda-pool.ts";
import type { CdaRule } from "../../formats/cda-rules.ts";
import { compileSchema } from "../../formats/cda-schema.ts";
import { cda, chen, lin } from "../fixtures/documents.ts";
import { fixtures } from "../peers.ts";

const seconds = Number(process.env.FUZZ_SECONDS ?? (process.env.CI ? 30 : 4));
const { available, path: folder } = fixtures("cda");
const { path: schema } = fixtures("cda-schema");
const checks = available ? { schema } : {};
const rule: CdaRule = { id: "t/title", test: "h:title", message: "no title", severity: "error" };
const report = (extension: string, body = "text"): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "d", title: "t", body });

test("a schema folder without what it includes: which one to name", () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-schema-"));
  const include = '<xs:include schemaLocation="../../processable/coreschemas/datatypes.xsd"/>';
  const xsd = `<xs:schema xmlns:xs="http://www.w3.org/2001/XMLSchema" targetNamespace="urn:hl7-org:v3">${include}<xs:element name="a" type="B"/></xs:schema>`;
  writeFileSync(join(folder, "CDA.xsd"), xsd);
  expect(() => compileSchema(folder)).toThrow(/cannot be compiled; name the folder that has all it includes$/);
});

test("memory is flat over 10,000 documents, accepted and refused", { timeout: 120_000 }, () => {
  const accepted = report("M.1");
  const broken = Buffer.from(accepted).subarray(0, 500);
  const twice = Buffer.from(
    Buffer.from(accepted)
      .toString("utf8")
      .replace(/(<recordTarget[\s\S]*<\/recordTarget>)/, "$1$1"),
  );
  const large = available ? readFileSync(join(folder, "hl7-normative-SampleCDADocument.xml")) : accepted;
  const one = (n: number): void => {
    try {
      examine([accepted, broken, twice, accepted, large][n % 5] ?? accepted, { ...checks, rules: [rule] });
    } catch (thrown) {
      expect(thrown).toBeInstanceOf(Fault);
    }
  };
  for (let n = 0; n < 500; n += 1) one(n);
  diag.configure({ enabled: true });
  const before = process.memoryUsage.rss();
  for (let n = 0; n < 10_000; n += 1) one(n);
  const undisposed: unknown = diag.report();
  diag.configure({ enabled: false });
  expect(undisposed).toEqual({});
  // Without dispose, 10,000 documents take over 2 GB.
  expect(process.memoryUsage.rss() - before).toBeLessThan(64 * 1024 * 1024);
});

test.skipIf(!available)("a schema is compiled once", () => {
  expect(compileSchema(schema)).toBe(compileSchema(schema));
});

test("a small document is examined beside the loop, by the rules it is asked for", async () => {
  const bytes = report("S.1");
  const before = Buffer.from(bytes);
  let [turns, isDone] = [0, false];
  const turn = (): void => {
    turns += 1;
    if (!isDone) setImmediate(turn);
  };
  setImmediate(turn);
  const slow = { ...rule, id: "t/slow", context: "//node()", test: "count(//node()[. = preceding::node()]) < 0" };
  const { findings } = await examineDocument(bytes, { rules: [slow] });
  isDone = true;
  expect(turns).toBeGreaterThan(0);
  expect(new Set(findings.map(({ id }) => id))).toEqual(new Set(["t/slow"]));
  const others = await Promise.all(
    ["t/one", "t/other", "t/one"].map((id) => examineDocument(bytes, { rules: [{ ...rule, id, test: "false()" }] })),
  );
  expect(others.map((each) => each.findings.map(({ id }) => id))).toEqual([["t/one"], ["t/other"], ["t/one"]]);
  expect((await examineDocument(bytes)).findings).toEqual([]);
  expect(Buffer.compare(bytes, before)).toBe(0);
});

test("a large document is examined elsewhere, with the same result", async () => {
  const bytes = report("L.1", "<paragraph>x</paragraph>".repeat(60_000));
  expect(bytes.length).toBeGreaterThan(maxSmallBytes);
  const rules = [rule, { ...rule, id: "t/never", test: "false()", message: "never" }];
  const examined = await examineDocument(bytes, { ...checks, rules });
  expect(examined).toEqual(examine(bytes, { ...checks, rules }));
  expect(examined.findings.map(({ id }) => id)).toContain("t/never");
});

test("a fault of a large document comes back as it is", async () => {
  const bytes = Buffer.concat([
    Buffer.from(report("L.2", "<paragraph>x</paragraph>".repeat(60_000))),
    Buffer.from("<b/>"),
  ]);
  await expect(examineDocument(bytes, {})).rejects.toMatchObject({
    code: "CDA_INVALID",
    message: expect.stringMatching(/^not well-formed XML \(line \d+, column \d+\)$/),
  });
});

test("a document that takes too long is refused, and the next one is examined", async () => {
  const bytes = report("L.3", "<paragraph>x</paragraph>".repeat(60_000));
  const slow = {
    ...rule,
    id: "t/slow",
    context: "//h:paragraph",
    test: "count(//h:paragraph[. = following::h:paragraph]) > 0",
  };
  await expect(examineDocument(bytes, { rules: [slow] }, 200)).rejects.toMatchObject({
    code: "CDA_INVALID",
    message: "the document was not done within 200 ms",
  });
  expect((await examineDocument(bytes, {})).facts.uniqueId).toContain("L.3");
});

test("a text of 12 MB, such as a PDF, is no bomb", async () => {
  const body = "A".repeat(12 * 1024 * 1024);
  expect((await examineDocument(report("P.1", body), {})).facts.form).toBe("113");
});

test("broken documents give facts or a typed fault", { timeout: (seconds + 60) * 1000 }, () => {
  const seeds = [
    report("F.1"),
    cda({ extension: "F.2", patient: lin, code: "c", display: "d", title: "t", body: "b", isBare: true }),
    ...(available
      ? ["enc-tw-utf16le-bom.xml", "enc-tw-big5.xml", "tw-ToFHIRDicom_1_CT.xml"].map((name) =>
          readFileSync(join(folder, name)),
        )
      : []),
  ].map((bytes) => Buffer.from(bytes));
  const end = performance.now() + seconds * 1000;
  let runs = 0;
  for (let seed = Math.floor(Math.random() * 2 ** 31); performance.now() < end; seed += 1) {
    const random = chance(seed);
    const bytes = broken(seeds[random(seeds.length)] ?? Buffer.alloc(0), random);
    try {
      const { findings } = examine(bytes, { ...checks, rules: [rule] });
      for (const finding of findings) expect(finding.line).toBeGreaterThanOrEqual(0);
    } catch (thrown) {
      if (!(thrown instanceof Fault) || thrown.code === "UNEXPECTED")
        throw new Error(`seed ${seed}`, { cause: thrown });
    }
    runs += 1;
  }
  expect(runs).toBeGreaterThan(100);
});

/** A small generator with a seed (mulberry32). */
function chance(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

const telling = [
  "<",
  ">",
  "&",
  '"',
  "/",
  "<!",
  "]]>",
  "<?",
  "&#0;",
  "\0",
  "\ufffe",
  "<!DOCTYPE a>",
  'xmlns=""',
  "<id/>",
];

/** One to three changes: a flipped bit, something telling put in, a cut, a copy of another place. */
function broken(bytes: Buffer, random: (below: number) => number): Buffer {
  let changed = Buffer.from(bytes);
  for (let count = 1 + random(3); count > 0 && changed.length > 0; count -= 1) {
    const at = random(random(2) === 0 ? changed.length : Math.min(changed.length, 4_096));
    const from = random(changed.length);
    const put = [
      Buffer.of((changed[at] ?? 0) ^ (1 << random(8))),
      Buffer.from(telling[random(telling.length)] ?? ""),
      changed.subarray(from, from + random(400)),
      Buffer.alloc(0),
    ][random(4)];
    changed = Buffer.concat([changed.subarray(0, at), put ?? Buffer.alloc(0), changed.subarray(at + random(3))]);
  }
  return changed;
}
