/** `semrs test`: passes on the shipped file, and fails readably, with the line that decided, on seeded mistakes. */
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { until } from "../sites.ts";
import { root, semrs } from "./cli.ts";
import { admission, hl7, one, record, report, shipped, study, tested } from "./tested.ts";

/** The same with MSH-11 T. */
function training() {
  const file = join(mkdtempSync(join(tmpdir(), "semrs-training-")), "training.hl7");
  writeFileSync(file, readFileSync(hl7("mdm-t02-121"), "latin1").replace("|P|2.5.1", "|T|2.5.1"), "latin1");
  return { ...record, files: [file] };
}

test("passes on the shipped file", async () => {
  const { exit, out, err } = await semrs(["test", "--patience", "4"]);
  expect(out).not.toContain("✗");
  expect({ exit, err: err.trim() }).toEqual({ exit: 0, err: "7 passed, 0 failed" });
}, 120_000);

describe("ten seeded mistakes", () => {
  test.each([
    [
      "a filter without the message",
      [
        ["filter: { messages: [MDM, ORU^R01], documents: [113", "filter: { messages: [ORU^R01], documents: [113"],
        ["messages: [MDM, ORU^R01], documents: [116", "messages: [ORU^R01], documents: [116"],
      ],
      one(record, { routed: ["registry"] }),
      "documents: [116",
      /routed: expected registry, got none; filtered \(NO_CHANNEL\) at channels\.yaml:(\d+) channels\.imaging\.filter\.messages/,
    ],
    [
      "a filter without the form",
      [["documents: [113, 114, 115, 121, other], processingId", "documents: [113, 114, 115], processingId"]],
      one(record, { channel: "documents" }),
      "documents: [116",
      /channel: expected documents, got none; filtered \(NO_CHANNEL\) at channels\.yaml:(\d+) channels\.imaging\.filter\.documents/,
    ],
    [
      "a message for training",
      [],
      one(training(), { channel: "documents" }),
      "documents: [116",
      /channel: expected documents, got none; filtered \(NO_CHANNEL\) at channels\.yaml:(\d+) channels\.imaging\.filter\.processingId/,
    ],
    [
      "a channel left in the shadow",
      [
        [
          "    seal: { profile: semrs-2 }\n    route: [repository]\n  incoming",
          "    route: [none]\n    because: trial\n  incoming",
        ],
      ],
      one([record, admission], { routed: ["registry"] }),
      "route: [none]",
      /routed: expected registry, got none; routed at channels\.yaml:(\d+) channels\.documents\.route/,
    ],
    [
      "a patient mismatch that passes",
      [["patient: reject }\n      study", "patient: warn }\n      study"]],
      one({ ...report, set: { "PID-3": "B299999999^^^MOI^NI" }, expect: { ack: "AE", error: "PATIENT_MISMATCH" } }, {}),
      "patient: warn",
      /expected his to be answered AE, got AA \(S116\); let pass .*at channels\.yaml:(\d+) channels\.imaging\.validate\.document\.patient/,
    ],
    [
      "a rule that does not fetch the form",
      [["rules: [{ documents: [113, 114, 115, 116, 121, other]", "rules: [{ documents: [113, 114]"]],
      one([record, admission], { delivered: [{ to: "hospital-b/his", message: "MDM^T02" }] }),
      "rules: [{",
      /hospital-b\/his: expected MDM\^T02, got nothing in 2 s; not fetched at channels\.yaml:(\d+) channels\.incoming\.fetch\.rules/,
    ],
    [
      "an admission that nobody listens to",
      [["messages: [ADT^A01, ADT^A04, ADT^A05]", "messages: [ADT^A04]"]],
      one([record, admission], { delivered: [{ to: "hospital-b/his", message: "MDM^T02" }] }),
      "when:\n        - { admission",
      /hospital-b\/his: expected MDM\^T02, got nothing in 2 s; not fetched at channels\.yaml:(\d+) channels\.incoming\.fetch\.when/,
    ],
    [
      "a HIS that nothing is delivered to",
      [
        [
          '      - { to: his, as: { new: MDM^T02, addendum: MDM^T06, replacement: MDM^T10, cancel: MDM^T11 }, identity: original, because: "this HIS keeps authorities apart" }\n',
          "",
        ],
      ],
      one([record, admission], { delivered: [{ to: "hospital-b/his", message: "MDM^T02" }] }),
      "deliver:",
      /hospital-b\/his: expected MDM\^T02, got nothing in 2 s; not delivered at channels\.yaml:(\d+) channels\.incoming\.deliver/,
    ],
    [
      "a report that is held where it should travel",
      [["then: proceed }", "then: hold }"]],
      one(report, { routed: ["registry"] }),
      "then: hold",
      /routed: expected registry, got none; held \(STUDY_MISSING\) at channels\.yaml:(\d+) channels\.imaging\.assemble\.study\.then/,
    ],
    [
      "a study and its report that are not joined",
      [["by: [studyUid, accessionNumber]", "by: [accessionNumber]"]],
      one([study, { ...report, set: { "PID-3": "A223456781^^^MOI^NI" } }], { assembled: { instances: 3 } }),
      "assemble:",
      /assembled: expected 3 instances, got \d+ instances; assembled at channels\.yaml:(\d+) channels\.imaging\.assemble/,
    ],
  ] as const)(
    "%s",
    async (_name, edit, tests, decider, message) => {
      const { exit, out, lineOf } = await tested(edit, tests);
      expect(exit).toBe(1);
      expect(out).toMatch(/^✗ it travels \(channels\.test\.yaml:1\)$/m);
      expect(out).toMatch(message);
      expect(Number(message.exec(out)?.[1])).toBe(lineOf(decider));
    },
    30_000,
  );

  test("a delivery of which nothing is said is one all the same, and a document that was not sent is not identical", async () => {
    const to = "hospital-b/his";
    const { exit, out } = await tested([], {
      site: "hospital-a",
      tests: [
        { name: "anything", send: record, expect: { delivered: [{ to }] }, within: "1s" },
        { name: "nothing", send: admission, expect: { delivered: [{ to, document: "identical" }] }, within: "1s" },
        { name: "both", send: [record, admission], expect: { delivered: [{ to }, { to, document: "identical" }] } },
      ],
    });
    expect({ exit, out }).toEqual({
      exit: 1,
      out: expect.stringMatching(/^✗ anything[\s\S]*^✗ nothing[\s\S]*^✓ both/m),
    });
    expect(out).toMatch(/hospital-b\/his: expected something, got nothing in 1 s/);
    expect(out).toMatch(/hospital-b\/his: expected the document octet for octet, and none was sent/);
  }, 60_000);

  test("fields of a delivery are read in the character set of its system", async () => {
    const { exit, out } = await tested(
      [[`refusals: { AE: park`, `charset: big5, refusals: { AE: park`]],
      one([record, admission], {
        delivered: [{ to: "hospital-b/his", message: "MDM^T02", fields: { "PID-5": "林志明", "MSH-18": "BIG-5" } }],
      }),
    );
    expect({ exit, out }).toMatchObject({ exit: 0 });
  }, 60_000);

  test("a system that is answered otherwise, and text that rests in clear, are said too", async () => {
    const wanted = { neverInClear: ["hospital-a"] };
    const { out } = await tested([], one({ ...record, expect: { ack: "AA" } }, wanted));
    expect(out).toMatch(/expected his to be answered AA, got CA \(S121\)/);
    expect(out).toMatch(/neverInClear: "hospital-a" is in data\/hospital-a/);
  }, 30_000);
});

test("--patience waits so many times as long as a test says, and is a whole number", async () => {
  const waits = one(record, { delivered: [{ to: "hospital-b/his", message: "MDM^T02" }] });
  const { exit, out } = await tested([], waits, "--patience", "2");
  expect({ exit, out }).toEqual({ exit: 1, out: expect.stringContaining("got nothing in 4 s") });
  for (const wrong of ["0", "1.5", "101", "much"])
    expect((await semrs(["test", "--patience", wrong])).exit, wrong).toBe(64);
});

test("--patience waits so many times as long for what a test does not expect", async () => {
  const slow = join(mkdtempSync(join(tmpdir(), "semrs-slow-")), "slow.ts");
  writeFileSync(slow, "export default () => new Promise((resolve) => setTimeout(resolve, 700));");
  const { exit, out } = await tested(
    [["    deliver:\n", `    transform: [{ use: ${slow}, ms: 20000 }]\n    deliver:\n`]],
    one([record, admission], { delivered: [] }),
    "--patience",
    "3",
  );
  expect({ exit, out }).toEqual({
    exit: 1,
    out: expect.stringContaining("expected nothing, hospital-b/his got 1 messages"),
  });
}, 60_000);

test.each([
  [{ delivered: [] }, "expected nothing, hospital-b/his got 1 messages, 0 instances"],
  [{ routed: [] }, "routed: expected none, got registry"],
  [{ opensFor: ["hospital-a"] }, "opensFor: expected hospital-a, got hospital-a, hospital-b"],
  [{ findings: [] }, "findings: expected none, got STUDY_MISSING", [report]],
  [{ held: null }, "held: expected not held, got STUDY_MISSING", [report]],
  [{ held: "DOCUMENT_MISSING" }, "held: expected DOCUMENT_MISSING, got STUDY_MISSING", [report]],
] as const)(
  "a test ends at once when something comes that it does not expect: %j",
  async (wanted, says, send: readonly object[] = [record, admission]) => {
    const [what] = one(send, wanted).tests;
    const { exit, out } = await tested([["then: proceed }", "then: hold }"]], {
      site: "hospital-a",
      tests: [{ ...what, within: "1h" }],
    });
    expect({ exit, out }).toEqual({ exit: 1, out: expect.stringContaining(says) });
    expect(out).not.toContain("in 3600 s");
  },
  60_000,
);

test("a test that expects nothing waits for a document that waits for its study", async () => {
  const { exit, out } = await tested([], one(report, { routed: [] }));
  expect({ exit, out }).toEqual({ exit: 1, out: expect.stringContaining("routed: expected none, got registry") });
}, 60_000);

test("--watch runs again when the configuration changes", async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-watch-"));
  writeFileSync(join(folder, "channels.yaml"), shipped);
  writeFileSync(join(folder, "channels.test.yaml"), JSON.stringify(one(record, { channel: "documents" })));
  const child = spawn(process.execPath, [join(root, "semrs.js"), "test", "--watch"], { cwd: folder });
  let out = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (out += chunk));
  const watching = (times: number) => () => out.split("watching; Ctrl-C ends").length > times;
  try {
    await until("the first run", watching(1));
    expect(out).toMatch(/✓ it travels/);
    writeFileSync(
      join(folder, "channels.yaml"),
      shipped.replace("documents: [113, 114, 115, 121, other]", "documents: [113]"),
    );
    await until("the second run", watching(2));
    expect(out).toMatch(/✗ it travels[\s\S]*filter\.documents/);
  } finally {
    child.kill("SIGINT");
  }
}, 60_000);

describe("a test file that is wrong", () => {
  test("every problem with its line and what was meant", async () => {
    const { exit, err } = await tested([], {
      tests: [{ name: "x", send: { too: "his", files: ["a"] }, expect: { rooted: [] } }],
    });
    expect(exit).toBe(78);
    expect(err).toMatch(
      /channels\.test\.yaml:1:\d+ error CONFIG_UNKNOWN_KEY tests\.0\.expect\.rooted: unknown key; did you mean "routed"\?/,
    );
    expect(err).toMatch(/CONFIG_MISSING_KEY tests\.0\.send\.to: required/);
  });
  test("a file that is not there", async () => {
    expect(await semrs(["test", "nowhere.yaml"])).toMatchObject({
      exit: 78,
      err: expect.stringContaining("CONFIG_UNREADABLE"),
    });
  });
  test("--watch of a folder that is not there ends, as what watches nothing", async () => {
    const { exit, err } = await semrs(["test", "nowhere/channels.test.yaml", "--watch"]);
    expect({ exit, err }).toEqual({ exit: 64, err: "semrs test: nowhere is no folder; there is nothing to watch\n" });
  });
});
