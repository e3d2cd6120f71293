/** `semrs send` and `semrs echo` against a running site: results, figures, reports, TLS, exit codes. */
import { cpSync, mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ctStudy } from "../fixtures/dicom.ts";
import { cda, chen, mdmFor } from "../fixtures/documents.ts";
import { openExchange, type TestExchange, testPki } from "../sites.ts";
import { semrs } from "./cli.ts";

let exchange: TestExchange;
let pki: string;
const folder = mkdtempSync(join(tmpdir(), "semrs-send-"));
beforeAll(async () => {
  pki = await testPki();
  exchange = await openExchange(pki);
  for (let n = 0; n < 20; n += 1) {
    const document = cda({
      form: "113",
      extension: `SEND.${n}`,
      patient: chen,
      code: "11502-2",
      display: "x",
      title: "t",
      body: "",
    });
    writeFileSync(
      join(folder, `report-${String(n).padStart(2, "0")}.hl7`),
      mdmFor(document, { controlId: `SEND${n}` }),
    );
  }
});
afterAll(() => exchange.close());
const his = (): string => `127.0.0.1:${exchange.env.A_HIS}`;
const pacs = (): string => `SEMRS_A@127.0.0.1:${exchange.env.A_PACS}`;

describe("mllp", () => {
  test("a folder on several connections: a line an item, figures at the end, a report", async () => {
    const report = join(folder, "..", "sent.jsonl");
    const { exit, out, err } = await semrs([
      "send",
      "mllp",
      "--to",
      his(),
      "--connections",
      "4",
      "--report",
      report,
      folder,
    ]);
    expect(exit).toBe(0);
    expect(out.trim().split("\n")).toHaveLength(20);
    expect(out).toMatch(/report-00\.hl7 {2}delivered {2}AA {2}\d+ ms/);
    expect(err).toMatch(/20 of 20 delivered; [\d.]+ a second; p50 \d+ ms, p99 \d+ ms, longest \d+ ms/);
    expect(readFileSync(report, "utf8").trim().split("\n")).toHaveLength(20);
  });
  test("what is refused is told with its code, reported, and sent again from the report", async () => {
    const other = mkdtempSync(join(tmpdir(), "semrs-resend-"));
    cpSync(join(folder, "report-00.hl7"), join(other, "good.hl7"));
    writeFileSync(join(other, "wrong.hl7"), mdmFor(Buffer.from("<ClinicalDocument"), { controlId: "WRONG1" }));
    writeFileSync(join(other, "none.hl7"), "no message at all");
    const report = join(other, "..", "refused.jsonl");
    const first = await semrs(["send", "mllp", "--to", his(), "--report", report, other]);
    expect(first.exit).toBe(65);
    expect(first.out).toMatch(/wrong\.hl7 {2}refused {2}AE 102 {2}the system answered AE 102/);
    expect(first.out).toMatch(/none\.hl7 {2}failed {2}not an HL7 message/);
    const document = cda({
      form: "113",
      extension: "MENDED",
      patient: chen,
      code: "11502-2",
      display: "x",
      title: "t",
      body: "",
    });
    for (const name of ["wrong", "none"])
      writeFileSync(join(other, `${name}.hl7`), mdmFor(document, { controlId: `MENDED${name}` }));
    const again = await semrs(["send", "mllp", "--to", his(), "--resend", report, "--report", report]);
    expect(again).toMatchObject({ exit: 0, err: expect.stringContaining("2 of 2 delivered") });
    expect((await semrs(["send", "mllp", "--to", his(), "--resend", report])).exit).toBe(64);
  });
  test.each(["# no report\n", "[]\n", '{"file":"a.hl7"}\n', '{"file":"a.hl7","state":"deliv'])(
    "what is no report, or one that was cut off, is told with its line: %j",
    async (line) => {
      const report = join(mkdtempSync(join(tmpdir(), "semrs-no-report-")), "sent.jsonl");
      writeFileSync(report, `{"file":"b.hl7","state":"delivered"}\n${line}`);
      expect(await semrs(["send", "mllp", "--to", his(), "--resend", report])).toEqual({
        exit: 64,
        out: "",
        err: expect.stringContaining(`${report}:2 is no line of a report`),
      });
    },
  );
  test("--rate holds back", async () => {
    const started = performance.now();
    await semrs([
      "send",
      "mllp",
      "--to",
      his(),
      "--rate",
      "10",
      "--quiet",
      ...Array(5).fill(join(folder, "report-01.hl7")),
    ]);
    expect(performance.now() - started).toBeGreaterThan(400);
  });
  test("nobody there: exit 69; a wrong use: exit 64", async () => {
    expect(await semrs(["send", "mllp", "--to", "127.0.0.1:9", join(folder, "report-00.hl7")])).toMatchObject({
      exit: 69,
      err: expect.stringContaining("cannot be reached"),
    });
    // RFC 6761 6.4: no such name is ever known.
    expect(await semrs(["echo", "no-such-his.invalid:2575"])).toMatchObject({
      exit: 69,
      err: expect.stringMatching(/no-such-his\.invalid:2575 cannot be reached: (its name|the DNS)/),
    });
    expect((await semrs(["send", "mllp", "--to", "nowhere", "x"])).exit).toBe(64);
    expect((await semrs(["send", "mllp", "--to", his()])).exit).toBe(64);
    expect((await semrs(["send", "mllp", "--to", his(), "--tls", join(folder, "report-00.hl7")])).exit).toBe(64);
  });
});

describe("dicom", () => {
  const study = mkdtempSync(join(tmpdir(), "semrs-study-"));
  beforeAll(() => {
    for (const { name, bytes } of ctStudy({ instancesPerSeries: 3, studyUid: "2.25.777" }))
      writeFileSync(join(study, name), bytes);
  });
  test("a study on two associations, JSON for a script", async () => {
    const { exit, out } = await semrs(["send", "dicom", "--to", pacs(), "--connections", "2", "--json", study]);
    expect(exit).toBe(0);
    const lines = out
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line) as Record<string, unknown>);
    expect(lines).toHaveLength(7);
    expect(lines[0]).toMatchObject({ state: "delivered", detail: "0000" });
    expect(lines.at(-1)).toMatchObject({ count: 6, delivered: 6 });
  });
  test("a called AE title that is not ours is said", async () => {
    const to = pacs().replace("SEMRS_A", "NOBODY");
    expect(await semrs(["send", "dicom", "--to", to, study])).toMatchObject({
      exit: 65,
      err: expect.stringContaining("it is not the called AE title"),
    });
  });
});

describe("echo", () => {
  test("C-ECHO and MLLP answer", async () => {
    expect(await semrs(["echo", pacs(), "--count", "2"])).toMatchObject({
      exit: 0,
      out: expect.stringMatching(/(C-ECHO Success {2}[\d.]+ ms\n.*){2}/),
    });
    expect(await semrs(["echo", his()])).toMatchObject({ exit: 0, out: expect.stringContaining("connected") });
  });
  test("TLS: a registry's port with our certificate", async () => {
    const tls = [
      "--tls-key",
      `${pki}/hospital-a/tls.key`,
      "--tls-certificate",
      `${pki}/hospital-a/tls.crt`,
      "--tls-ca",
      `${pki}/ca.crt`,
    ];
    expect(await semrs(["echo", `127.0.0.1:${exchange.env.REGISTRY_PORT}`, ...tls])).toMatchObject({
      exit: 0,
      out: expect.stringContaining("TLS"),
    });
  });
  test("nobody there: exit 69", async () => {
    expect((await semrs(["echo", "X@127.0.0.1:9"])).exit).toBe(69);
  });
});
