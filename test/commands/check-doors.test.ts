/** `semrs check` of every way that leads out of a house: none in clear without a reason, all in the firewall table, each reached. */
import { expect, test } from "vitest";
import { checked, codes, type Edit } from "./checked.ts";

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: this is how variables are written in the file
const hisB = 'connect: "127.0.0.1:${B_HIS:2577}"';
const callers = "callers: []";
const standby: Edit = [[hisB, `${hisB}, standby: ["10.1.2.3:2577"]`]];
const reports: Edit = [[callers, 'callers: [{ aeTitle: CT_1, commitmentTo: "10.1.2.31:4006" }]']];

test.each([
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
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: above
