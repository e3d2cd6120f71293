/** Configuration errors, and whose id is whose. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { loadConfig } from "../pipeline/config.ts";
import { parseDuration } from "../pipeline/duration.ts";
import { comparePatients, patientIdsOf } from "../pipeline/identifiers.ts";

const root = join(import.meta.dirname, "..");
const shipped = readFileSync(join(root, "channels.yaml"), "utf8");

/** What is said of the shipped file after one edit, without the folder. */
function problems(from: string | RegExp, to: string, site = "hospital-a"): string {
  const file = join(mkdtempSync(join(tmpdir(), "semrs-config-")), "channels.yaml");
  const text = shipped.replace(from, to);
  expect(text).not.toBe(shipped);
  writeFileSync(file, text);
  try {
    loadConfig(file, { SITE: site });
    return "";
  } catch (thrown) {
    return (thrown as Error).message.replaceAll(file, "channels.yaml");
  }
}

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: this is how variables are written in the file
describe("channels.yaml", () => {
  test("the shipped files are valid, for each site", () => {
    expect(
      loadConfig(join(root, "channels.yaml"), { SITE: "hospital-a" }).own.channels.map(({ name }) => name),
    ).toEqual(["imaging", "documents"]);
    expect(
      loadConfig(join(root, "channels.yaml"), { SITE: "hospital-b" }).own.channels.map(({ kind }) => kind),
    ).toEqual(["inbound"]);
    expect(loadConfig(join(root, "examples/registry.yaml"), {}).own.registry).toEqual({
      host: "127.0.0.1",
      port: 8440,
    });
  });

  test.for([
    [
      "an unknown key, with what was meant",
      "quiet:",
      "quite:",
      /^channels\.yaml:\d+:\d+ error CONFIG_UNKNOWN_KEY channels\.imaging\.assemble\.study\.quite: unknown key; did you mean "quiet"\?/,
    ],
    [
      "a wrong value",
      "ANSWER:validated",
      "ANSWER:maybe",
      /channels\.yaml:\d+:\d+ error CONFIG_VALUE sites\.hospital-a\.systems\.his\.mllp\.answer: /,
    ],
    ["a duration that is none", "wait: 14d", "wait: soon", /a duration is a number and ms, s, m, h or d/],
    ["a pause that no timer holds", "charset: from-msh-18", "within: 25d", /his\.mllp\.within: at most 24d/],
    ["seconds that no timer holds", "callers: []", "callers: [], idleSeconds: 2592000", /idleSeconds: .*86400/],
    ["a rest that no timer holds", "charset: from-msh-18", "keepSeconds: 2592000", /keepSeconds: .*86400/],
    ["a port twice", "A_PACS:11112", "A_PACS:2575", /port 2575 is taken by systems\.his\.mllp already/],
    [
      "off this machine without a reason",
      "127.0.0.1:${A_HIS:2575}",
      "0.0.0.0:${A_HIS:2575}",
      /without TLS: add tls: \{\}, or say why with clearText/,
    ],
    ["an admin port off this machine", "127.0.0.1:${A_ADMIN:9441}", "0.0.0.0:9441", /admin port must be on loopback/],
    [
      "a channel that is not there",
      "run: [imaging, documents]",
      "run: [imaging, reports]",
      /run\.1: there is no channel reports/,
    ],
    ["a system that is not there", "source: [his, pacs]", "source: [ris, pacs]", /hospital-a has no system ris/],
    [
      "a partner that is not there",
      "route: [repository]",
      "route: [repository, hospital-c]",
      /there is no partner hospital-c/,
    ],
    [
      "both corridors in one channel",
      "    route: [repository]",
      "    route: [repository]\n    deliver: []",
      /unknown key/,
    ],
    [
      "an identity without its reason",
      'identity: original, because: "this PACS keeps issuers apart"',
      "identity: original",
      /identity: original needs because/,
    ],
    [
      "a PACS to be asked that nobody can call",
      "quiet:",
      "expect: pacs, quiet:",
      /assemble\.study\.expect: pacs of hospital-a has no dicom\.connect/,
    ],
    ["clear text between sites", "https://127.0.0.1:${A_PORT:8441}", "http://127.0.0.1:8441", /an URL is https/],
    ["YAML that is none", "partners:", "partners: [", /channels\.yaml:\d+:\d+/],
    ["a key twice", "timeZone: Asia/Taipei", "timeZone: Asia/Taipei\ntimeZone: Asia/Tokyo", /unique/],
    ["a time zone that does not exist", "timeZone: Asia/Taipei", "timeZone: Asia/Atlantis", /IANA/],
  ] as const)("%s", ([, from, to, message]) => expect(problems(from, to)).toMatch(message));

  test("all problems are told at once, in the order of the file", () => {
    const told = problems(/quiet:|answer:/g, "wrong:");
    const lines = [...told.matchAll(/channels\.yaml:(\d+):\d+ error CONFIG_UNKNOWN_KEY/g)].map(([, line]) =>
      Number(line),
    );
    expect(lines.length).toBeGreaterThanOrEqual(2);
    expect(lines).toEqual(lines.toSorted((one, other) => one - other));
  });

  test("a variable that is not set is named with its place", () => {
    expect(() => loadConfig(join(root, "channels.yaml"), {})).toThrow(
      /channels\.yaml:4:7 error CONFIG_VARIABLE \$\{SITE\} is not set/,
    );
  });
});

// biome-ignore-end lint/suspicious/noTemplateCurlyInString: .

test.for([
  ["250ms", 250],
  ["5s", 5_000],
  ["1m", 60_000],
  ["12h", 43_200_000],
  ["14d", 1_209_600_000],
  ["5", undefined],
  ["-5s", undefined],
  ["1w", undefined],
] as const)("a duration of %s", ([text, ms]) => {
  expect(parseDuration(text)).toBe(ms);
});

describe("patients", () => {
  const config = loadConfig(join(root, "channels.yaml"), { SITE: "hospital-b" });

  test("authorities are mapped to roots, OIDs taken, roots alone are ids, and the rest is counted", () => {
    const found = patientIdsOf(config, [
      { id: "A1", authority: "MOI", root: null },
      { id: "B2", authority: "WHO", root: null },
      { id: "C3", authority: null, root: "1.2.3" },
      { id: "1.2.3.4", authority: null, root: null },
    ]);
    expect(found).toEqual({
      ids: [
        { root: "2.16.886.101.20003.20001", extension: "A1" },
        { root: "1.2.3", extension: "C3" },
        { root: "1.2.3.4", extension: "" },
      ],
      unmapped: 1,
    });
  });

  test("a mismatch is two ids under one root, none equal", () => {
    const id = (root: string, extension: string) => ({ root, extension });
    expect(comparePatients([id("1", "a")], [id("1", "b")])).toEqual({ comparable: true, mismatch: true });
    expect(comparePatients([id("1", "a"), id("1", "b")], [id("1", "b")])).toEqual({
      comparable: true,
      mismatch: false,
    });
    expect(comparePatients([id("1", "a")], [id("2", "a")])).toEqual({ comparable: false, mismatch: false });
  });
});
