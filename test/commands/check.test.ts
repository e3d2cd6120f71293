/** `semrs check`: every lint rule, the environment, the firewall table and reachable peers. */
import { chmodSync, cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { startReceivers } from "../../commands/demo/receivers.ts";
import { initPki, revoke } from "../../commands/pki/index.ts";
import { findingCodes } from "../../pipeline/config-findings.ts";
import { openExchange } from "../sites.ts";
import { checked, codes, type Edit, raised, rejectingPacs, shipped } from "./checked.ts";
import { semrs } from "./cli.ts";

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: this is how variables are written in the file
let pki: string;
beforeAll(async () => {
  pki = mkdtempSync(join(tmpdir(), "semrs-check-pki-"));
  await initPki(pki, ["registry", "hospital-a", "hospital-b"], { now: new Date() });
});

test("the shipped file has no finding, for all its sites", async () => {
  const { exit, findings, doors } = await checked([]);
  expect({ exit, findings }).toEqual({ exit: 0, findings: [] });
  expect(doors).toContainEqual({
    site: "hospital-a",
    direction: "in",
    address: "127.0.0.1:2575",
    protocol: "mllp",
    security: "clear, loopback",
    who: "his",
  });
});

const his = 'mllp: { listen: "127.0.0.1:${A_HIS:2575}"';
const noReason = ', identity: original, because: "this PACS keeps issuers apart"';

const partnerB = 'certificates: "${PKI:pki}/hospital-b"';

describe("the file", () => {
  test.each<[string, Edit, readonly string[]]>([
    ["a file that is no YAML", [["sites:", "sites: ["]], ["CONFIG_SYNTAX"]],
    ["an unknown key", [["quiet:", "quite:"]], ["CONFIG_UNKNOWN_KEY"]],
    ["a missing key", [["aeTitle: SEMRS_A, ", ""]], ["CONFIG_MISSING_KEY"]],
    ["a wrong value", [["ANSWER:validated", "ANSWER:validatd"]], ["CONFIG_VALUE"]],
    ["a variable without a value", [["${QUIET:60s}", "${NOT_SET}"]], ["CONFIG_VARIABLE"]],
    ["an owner that is not there", [["owner: hospital-a", "owner: hospital-c"]], ["CONFIG_NAME"]],
    ["a name that is not there", [["source: [his, pacs]", "source: [hsi, pacs]"]], ["CONFIG_NAME"]],
    ["a port twice", [["A_PACS:11112", "A_PACS:2575"]], ["CONFIG_PORT_TWICE"]],
    ["clear text off this machine", [["127.0.0.1:${A_HIS:2575}", "0.0.0.0:2575"]], ["CONFIG_CLEAR_TEXT"]],
    ["a reason for clear text beside TLS", [[his, `${his}, tls: {}, clearText: "VLAN 40"`]], ["CONFIG_CLEAR_TEXT"]],
    [
      "associations from anybody",
      [
        ["127.0.0.1:${A_PACS:11112}", "0.0.0.0:11112"],
        ["aeTitle: SEMRS_A,", "aeTitle: SEMRS_A, tls: {},"],
      ],
      ["CONFIG_CALLERS"],
    ],
    ["an admin port for all", [["127.0.0.1:${A_ADMIN:9441}", "0.0.0.0:9441"]], ["CONFIG_ADMIN"]],
    ["the original identity without a reason", [[noReason, ", identity: original"]], ["CONFIG_IDENTITY"]],
    ["a shadow beside another route", [["route: [repository]", "route: [repository, none]"]], ["CONFIG_SHADOW"]],
    ["a shadow with one", [["route: [repository]", "route: [none]\n    because: trial"]], ["SHADOW_CHANNEL"]],
    ["a shadow without a reason", [["route: [repository]", "route: [none]"]], ["CONFIG_SHADOW"]],
    ["an authority of two identifiers", [["authorities: [HOSPA]", "authorities: [MOI]"]], ["CONFIG_AUTHORITY_TWICE"]],
    ["a delivery without an address", [['connect: "127.0.0.1:${B_PACS:11113}", ', ""]], ["CONFIG_DESTINATION"]],
    [
      "a cancellation that is dropped",
      [["messages: [MDM, ORU^R01]", "messages: [MDM^T02, ORU^R01]"]],
      ["FILTER_DROPS_CANCEL"],
    ],
    ["a message that is dropped", [[his, `${his}, sends: [MDM^T02, SIU^S12]`]], ["FILTER_DROPS_MESSAGE"]],
    [
      "documents that are dropped",
      [["documents: [113, 114, 115, 121, other], processingId", "documents: [113], processingId"]],
      ["FILTER_DROPS_DOCUMENT"],
    ],
    ["a missing Schematron", [["schema: skip,", "schema: skip, schematron: nowhere,"]], ["CONFIG_SCHEMATRON"]],
    ["a mismatch that passes", [["patient: hold", "patient: warn"]], ["PATIENT_MISMATCH_PASSES"]],
    ["an authority that is mapped to nothing", [[his, `${his}, authorities: [OTHER]`]], ["AUTHORITY_UNMAPPED"]],
    ["the same of numbers that name none", [[his, `${his}, authority: OTHER`]], ["AUTHORITY_UNMAPPED"]],
    ["an authority of the PACS that no system writes", [[noReason, ", authority: HOSPX"]], ["AUTHORITY_UNMAPPED"]],
    ["an authority of the PACS that is known", [[noReason, ", authority: HOSPB"]], []],
    [
      "a channel that nobody runs",
      [["run: [imaging, documents] ", "run: [documents] "]],
      ["CHANNEL_NOT_RUN", "FILTER_DROPS_DOCUMENT", "SYSTEM_UNUSED"],
    ],
    ["studies without PACS", [["source: [his, pacs]", "source: [his]"]], ["STUDY_WITHOUT_SOURCE", "SYSTEM_UNUSED"]],
    [
      "nothing to fetch",
      [["rules: [{ documents: [113, 114, 115, 116, 121, other], since: 180d, latest: 50 }]", "rules: []"]],
      ["FETCH_WITHOUT_RULE"],
    ],
    [
      "a transform that is not there",
      [["    seal: { profile: semrs-2 }\n", "    transform: [{ use: ./none.ts }]\n    seal: { profile: semrs-2 }\n"]],
      ["CONFIG_TRANSFORM"],
    ],
    [
      "a window that may be shut for longer than is tried",
      [
        [partnerB, `${partnerB}, window: { between: ["22:00", "06:00"] }`],
        ["for: 14d", "for: 12h"],
      ],
      ["WINDOW_OUTLIVES_RETRY"],
    ],
    ["a relay that is not there", [[partnerB, `${partnerB}, relays: [hub]`]], ["CONFIG_NAME"]],
    ["semrs-2017", [[partnerB, `${partnerB}, profiles: [semrs-2017], allowLegacy: true`]], ["LEGACY_PARTNER"]],
    ["semrs-2017 that nobody allowed", [[partnerB, `${partnerB}, profiles: [semrs-2017]`]], ["CONFIG_LEGACY"]],
    [
      "semrs-2017 beside another profile",
      [[partnerB, `${partnerB}, profiles: [semrs-2, semrs-2017], allowLegacy: true`]],
      ["CONFIG_LEGACY"],
    ],
    ["allowed and not used", [[partnerB, `${partnerB}, allowLegacy: true`]], ["CONFIG_LEGACY"]],
    [
      "a registry with semrs-2017",
      [['"${PKI:pki}/registry"', '"${PKI:pki}/registry", profiles: [semrs-2017], allowLegacy: true']],
      ["CONFIG_LEGACY"],
    ],
    ["a schema that is not looked at", [["schema: skip,", "schemas: nowhere,"]], ["SCHEMA_SKIPPED"]],
    ["a schema without its folder", [["schema: skip", "schema: warn, schemas: nowhere"]], ["CONFIG_SCHEMA"]],
  ])("%s", async (_name, edit, expected) => {
    const { exit, findings } = await checked(edit);
    expect(codes(findings)).toEqual([...expected].sort());
    const isError = expected.some((code) => code.startsWith("CONFIG_"));
    expect(exit).toBe(isError ? 78 : 0);
    for (const { line } of findings) expect(line).toBeGreaterThan(0);
  });

  test("a rule file that is wrong, with its own file and line", async () => {
    const rules = join(mkdtempSync(join(tmpdir(), "semrs-check-rules-")), "mine.yaml");
    writeFileSync(rules, "basedOn: us\nrules:\n  - { id: a, test: 'h:title[', message: m }\n");
    const { exit, findings } = await checked([["schema: skip", `schema: skip, ruleSets: ["${rules}"]`]]);
    expect(findings).toMatchObject([{ code: "CONFIG_RULES", file: rules, line: 3, column: 14 }]);
    expect(exit).toBe(78);
  });
  test("a file that is not there", async () => {
    const ran = await semrs(["check", "--json", "nowhere.yaml"]);
    for (const { code } of (JSON.parse(ran.out) as { findings: { code: string }[] }).findings) raised.add(code);
    expect(ran).toMatchObject({ exit: 78, out: expect.stringContaining("CONFIG_UNREADABLE") });
  });
  test("all problems at once, each on a line of its own with file:line:column, and what was meant", async () => {
    const folder = mkdtempSync(join(tmpdir(), "semrs-check-"));
    writeFileSync(
      join(folder, "channels.yaml"),
      `${shipped.replaceAll("quiet:", "quite:").replace("ANSWER:validated", "ANSWER:validatd")}\nretention: { done: 1d }\n`,
    );
    const { exit, out } = await semrs(["check", "--file"], { cwd: folder });
    expect(exit).toBe(78);
    expect(out).toMatch(
      /^channels\.yaml:28:74 error CONFIG_VALUE sites\.hospital-a\.systems\.his\.mllp\.answer: .*did you mean "validated"\?$/m,
    );
    expect(out).toMatch(
      /^channels\.yaml:54:34 error CONFIG_UNKNOWN_KEY channels\.imaging\.assemble\.study\.quite: unknown key; did you mean "quiet"\?$/m,
    );
    expect(out).toMatch(/CONFIG_UNKNOWN_KEY retention: unknown key here; it belongs elsewhere$/m);
  });
  test("--strict makes warnings fail", async () => {
    expect((await checked([["patient: hold", "patient: warn"]], { args: ["--file", "--strict"] })).exit).toBe(78);
  });
});

describe("the machine", () => {
  /** A copy of the keys that may be spoilt. */
  const copied = (): string => {
    const folder = mkdtempSync(join(tmpdir(), "semrs-check-keys-"));
    cpSync(pki, folder, { recursive: true });
    return folder;
  };
  const env = { SITE: "hospital-a", A_HIS: "0", A_PACS: "0", A_PORT: "0", A_ADMIN: "0" };
  const look = (keys: string, edit: Edit = []) => checked(edit, { keys, args: [], env });
  const fresh = async (keys: string, site: string, now: Date, days?: number): Promise<void> => {
    rmSync(join(keys, site), { recursive: true });
    await initPki(keys, [site], { now, ...(days ? { days } : {}) });
  };

  test("keys as they were made pass", async () => {
    const { exit, findings } = await look(copied());
    expect({ exit, findings }).toEqual({ exit: 0, findings: [] });
  });

  test.each<[string, string, (keys: string) => void | Promise<void>]>([
    ["KEY_MISSING", "a key is gone", (keys) => rmSync(join(keys, "hospital-a/decrypt.key"))],
    ["KEY_MODE", "a key that others can read", (keys) => chmodSync(join(keys, "hospital-a/sign.key"), 0o644)],
    [
      "KEY_PAIR",
      "a certificate for another key",
      (keys) => cpSync(join(keys, "hospital-b/tls.crt"), join(keys, "hospital-a/tls.crt")),
    ],
    [
      "KEY_SHARED",
      "one key for two purposes",
      (keys) => cpSync(join(keys, "hospital-a/sign.key"), join(keys, "hospital-a/tls.key")),
    ],
    [
      "STORAGE_KEY",
      "a storage key that is cut",
      (keys) => writeFileSync(join(keys, "hospital-a/storage.key"), "abc", { mode: 0o600 }),
    ],
    [
      "CERTIFICATE_EXPIRED",
      "an expired partner",
      (keys) => fresh(keys, "hospital-b", new Date(Date.now() - 40 * 864e5), 30),
    ],
    ["CERTIFICATE_EXPIRES", "a certificate that ends in 21 days", (keys) => fresh(keys, "hospital-a", new Date(), 21)],
    [
      "CERTIFICATE_UNTRUSTED",
      "a revoked certificate",
      (keys) => revoke(keys, readFileSync(join(keys, "hospital-a/sign.crt"), "utf8"), new Date()),
    ],
    ["PARTNER_CERTIFICATE", "a partner without certificate", (keys) => rmSync(join(keys, "hospital-b/decrypt.crt"))],
    ["CRL_MISSING", "no revocation list", (keys) => rmSync(join(keys, "ca.crl"))],
  ])("%s: %s", async (code, _name, spoil) => {
    const keys = copied();
    await spoil(keys);
    const { findings, exit } = await look(keys);
    expect(codes(findings)).toContain(code);
    expect(exit).toBe(code === "CERTIFICATE_EXPIRES" ? 0 : 78);
  });

  test("CRL_STALE: a revocation list that should have been renewed", async () => {
    const keys = mkdtempSync(join(tmpdir(), "semrs-check-old-"));
    await initPki(keys, ["registry", "hospital-a", "hospital-b"], { now: new Date(Date.now() - 31 * 864e5) });
    expect(codes((await look(keys)).findings)).toContain("CRL_STALE");
  });
  test("DATA_UNWRITABLE and DATA_MODE: the data folder", async () => {
    const keys = copied();
    const file = join(keys, "a-file");
    writeFileSync(file, "");
    expect(codes((await checked([], { keys, args: [], env: { ...env, DATA: file } })).findings)).toContain(
      "DATA_UNWRITABLE",
    );
    const open = mkdtempSync(join(tmpdir(), "semrs-open-"));
    chmodSync(open, 0o755);
    const edit: Edit = [['data: "${DATA:data}/hospital-a"', 'data: "${DATA:data}"']];
    expect(codes((await checked(edit, { keys, args: [], env: { ...env, DATA: open } })).findings)).toContain(
      "DATA_MODE",
    );
  });
  test("LEGACY_INDIRECT, KEY_SHARED: a partner with semrs-2017 has a key for each use and a connection of its own", async () => {
    const keys = mkdtempSync(join(tmpdir(), "semrs-check-legacy-"));
    await initPki(keys, ["registry"], { now: new Date() });
    await initPki(keys, ["hospital-a", "hospital-b"], { now: new Date(), legacy: true });
    const edit: Edit = [[partnerB, `${partnerB}, profiles: [semrs-2017], allowLegacy: true`]];
    const at = (name: string): string => join(keys, name);
    expect(codes((await look(keys, edit)).findings)).toEqual(["LEGACY_PARTNER"]);
    for (const name of ["sign", "decrypt"]) rmSync(at(`hospital-b/${name}.crt`));
    expect(codes((await look(keys, edit)).findings)).toEqual(["LEGACY_PARTNER"]);
    cpSync(at("registry/tls.crt"), at("hospital-b/tls.crt"));
    cpSync(at("hospital-b/legacy-sign.crt"), at("hospital-b/legacy-decrypt.crt"));
    for (const end of ["key", "crt"])
      cpSync(at(`hospital-a/legacy-decrypt.${end}`), at(`hospital-a/legacy-sign.${end}`));
    const { findings } = await look(keys, edit);
    expect(codes(findings)).toEqual(["KEY_SHARED", "LEGACY_INDIRECT", "LEGACY_PARTNER"]);
    expect(findings.filter(({ code }) => code === "KEY_SHARED").map(({ message }) => message)).toEqual([
      expect.stringContaining("legacy-sign, too"),
      "is the key of legacy-sign, too; ask hospital-b for one of its own",
    ]);
  });
  test("STOPPED: what a person has paused at the site that runs", async () => {
    const at = await openExchange(pki);
    try {
      await at.admin("hospital-a").post("/stops/pacs/pause", { reason: "a new PACS" });
      const { exit, findings } = await checked([], { args: [], env: { ...at.env, SITE: "hospital-a" } });
      expect(findings).toMatchObject([
        {
          code: "STOPPED",
          file: "hospital-a system pacs",
          message: expect.stringMatching(/^paused since .*: a new PACS$/),
        },
      ]);
      expect(exit).toBe(0);
    } finally {
      await at.close();
    }
  });
  test("PORT_TAKEN, PEER_UNREACHABLE, PEER_REJECTS: what listens and what does not", async () => {
    const receivers = await startReceivers(mkdtempSync(join(tmpdir(), "semrs-check-")), new AbortController().signal);
    const port = (address: string): string => address.slice(address.lastIndexOf(":") + 1);
    try {
      const b = { SITE: "hospital-b", B_PORT: "0", B_ADMIN: "0", B_ADT: "0", REGISTRY_PORT: "9", A_PORT: "9" };
      const reach = { B_HIS: port(receivers.his.address), B_PACS: port(receivers.pacs.address) };
      const up = await checked([], { keys: copied(), args: ["--connect"], env: { ...b, ...reach } });
      expect(up.findings.map(({ file }) => file)).toEqual(["hospital-b → registry", "hospital-b → hospital-a"]);
      expect(up.err).toMatch(/hospital-b → pacs \(C-ECHO PACS_B@127\.0\.0\.1:\d+\): answers in \d+ ms/);
      const taken = await checked([], { keys: copied(), args: [], env: { ...b, B_ADT: reach.B_HIS, B_HIS: "9" } });
      expect(codes(taken.findings)).toEqual(["PORT_TAKEN"]);
      const env = { ...b, ...reach, B_PACS: await rejectingPacs() };
      const rejected = await checked([], { keys: copied(), args: ["--connect"], env });
      expect(codes(rejected.findings)).toEqual(["PEER_REJECTS", "PEER_UNREACHABLE"]);
    } finally {
      await receivers.stop();
    }
  });
});

test("every finding is raised by a test above", () => {
  expect(findingCodes.filter((code) => !raised.has(code))).toEqual([]);
});
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: above
