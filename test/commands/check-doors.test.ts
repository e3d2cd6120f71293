/** `semrs check` of every way that leads out of a house: none in clear without a reason, all in the firewall table, each reached. */
import { cpSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { openExchange, testPki } from "../sites.ts";
import { checked, codes, type Edit } from "./checked.ts";
import { semrs } from "./cli.ts";

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: this is how variables are written in the file
const hisB = 'connect: "127.0.0.1:${B_HIS:2577}"';
const callers = "callers: []";
const elsewhere: Edit = [[hisB, 'connect: "127.his.example:2577"']];
const standby: Edit = [[hisB, `${hisB}, standby: ["10.1.2.3:2577"]`]];
const reports: Edit = [[callers, 'callers: [{ aeTitle: CT_1, commitmentTo: "10.1.2.31:4006" }]']];

test.each([
  ["a name that begins as this machine's address", elsewhere, "sites.hospital-b.systems.his.mllp.connect"],
  ["a standby address", standby, "sites.hospital-b.systems.his.mllp.standby.0"],
  ["a place for commitment reports", reports, "sites.hospital-a.systems.pacs.dicom.callers.0.commitmentTo"],
])("CONFIG_CLEAR_TEXT: %s off this machine without TLS or a reason", async (_name, edit, path) => {
  const { exit, findings } = await checked(edit);
  expect(codes(findings)).toEqual(["CONFIG_CLEAR_TEXT"]);
  expect(findings[0]?.message).toContain(path);
  expect(exit).toBe(78);
  const [[from, to] = ["", ""]] = edit;
  const reasoned: Edit = [[from, `${to}, clearText: "VLAN 40"`]];
  expect((await checked(reasoned)).findings).toEqual([]);
});

test("the firewall table has every way out: standby, documents by reference, commitment reports, alerts, revocation lists", async () => {
  const edit: Edit = [
    [hisB, `${hisB}, clearText: "VLAN 40", standby: ["10.1.2.3:2577"]`],
    [
      'his:\n        mllp: { listen: "127.0.0.1:${A_HIS',
      'his:\n        mllp: { references: [{ prefix: "https://docs.example/a/" }, { prefix: "https://docs.example/b/" }, { prefix: "http://127.0.0.1:81/" }], listen: "127.0.0.1:${A_HIS',
    ],
    [callers, 'clearText: "VLAN 41", callers: [{ aeTitle: CT_1, commitmentTo: "10.1.2.31:4006" }]'],
    ['crls: ["${PKI:pki}/ca.crl"]', "crls: [http://authority.example/ca.crl]"],
    [
      "    run: [incoming]",
      '    alerts: { syslog: [{ to: "siem.example:6514" }], webhooks: [{ url: "https://chat.example/hooks" }] }\n    run: [incoming]',
    ],
  ];
  const { findings, doors } = await checked(edit);
  expect(findings).toEqual([]);
  const out = doors.filter(({ direction }) => direction === "out");
  const named = (wanted: string) =>
    out
      .filter(({ site }) => site === wanted)
      .map(({ address, protocol, security, who }) => [address, protocol, security, who].join(" "));
  expect(named("hospital-a")).toEqual([
    "docs.example:443 https mutual TLS documents of his",
    "127.0.0.1:81 http clear, loopback documents of his",
    '10.1.2.31:4006 dicom CLEAR "VLAN 41" pacs',
    "127.0.0.1:8440 https mutual TLS registry",
    "127.0.0.1:8442 https mutual TLS hospital-b",
    "authority.example:80 http signed revocation list",
  ]);
  expect(named("hospital-b")).toEqual([
    '127.0.0.1:2577 mllp CLEAR "VLAN 40" his',
    '10.1.2.3:2577 mllp CLEAR "VLAN 40" his',
    "127.0.0.1:11113 dicom clear, loopback pacs",
    "127.0.0.1:8440 https mutual TLS registry",
    "127.0.0.1:8441 https mutual TLS hospital-a",
    "authority.example:80 http signed revocation list",
    "siem.example:6514 syslog mutual TLS alerts",
    "chat.example:443 https TLS alerts",
  ]);
});

test("a partner that answers with another certificate than the one here, and a standby that does not answer", async () => {
  const pki = await testPki();
  const at = await openExchange(pki);
  try {
    const keys = mkdtempSync(join(tmpdir(), "semrs-check-pin-"));
    cpSync(pki, keys, { recursive: true });
    cpSync(join(pki, "registry/tls.crt"), join(keys, "hospital-a/tls.crt"));
    const env = { ...at.env, PKI: keys, SITE: "hospital-b" };
    const edit: Edit = [[hisB, `${hisB}, standby: ["127.0.0.1:9"]`]];
    const { exit, findings } = await checked(edit, { keys, args: ["--connect"], env });
    expect(findings.map(({ code, file }) => [code, file])).toEqual([
      ["PARTNER_CERTIFICATE", "hospital-b → hospital-a"],
      ["PEER_UNREACHABLE", "hospital-b → his (mllp 127.0.0.1:9)"],
    ]);
    expect(findings[0]?.message).toMatch(/^answers with another certificate \([0-9a-f]{16}\) than tls.crt here$/);
    expect(exit).toBe(78);
    const doctor = await semrs(["doctor", join(at.folder, "hospital-b.yaml")], { env });
    expect(doctor.out).toMatch(/^fail certificates: hospital-b → hospital-a PARTNER_CERTIFICATE answers with another/m);
    expect(doctor.out).toMatch(/^pass peers: nothing found$/m);
  } finally {
    await at.close();
  }
});
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: above
