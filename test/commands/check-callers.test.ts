/** `semrs check` of who may call a DICOM listener: a line of `callers` that fits anybody, or nobody, is found. */
import { expect, test } from "vitest";
import { checked, type Edit } from "./checked.ts";

// biome-ignore-start lint/suspicious/noTemplateCurlyInString: this is how variables are written in the file
const callers = (line: string, listen = "10.1.2.3:11112"): Edit => [
  ['"127.0.0.1:${A_PACS:11112}"', `"${listen}"`],
  ["callers: []", `clearText: "VLAN 41", callers: [{ aeTitle: CT_1 }, ${line}]`],
];
// biome-ignore-end lint/suspicious/noTemplateCurlyInString: it ends here
const found = async (edit: Edit) => (await checked(edit)).findings.map(({ code, message }) => `${code} ${message}`);

test.each(["{}", '{ commitmentTo: "10.1.2.31:4006" }'])(
  "%s lets anybody in: CONFIG_CALLERS off this machine",
  async (line) => {
    expect(await found(callers(line))).toEqual([
      "CONFIG_CALLERS sites.hospital-a.systems.pacs.dicom.callers.1: fits anybody: add aeTitle, address or subject",
    ]);
    expect(await found(callers(line, "127.0.0.1:11112"))).toEqual([]);
  },
);

test.each(["10.1.2.999", "10.1.2.0/33", "10.1.2", "pacs.hospital-a.example", "10.1.2.0/x", "fe80::g"])(
  "the address %s, at which no house would start, is a wrong value",
  async (address) => {
    expect(await found(callers(`{ address: "${address}" }`))).toEqual([
      expect.stringMatching(/^CONFIG_VALUE [^ ]*dicom\.callers\.1\.address: an address is an IP address, or a range/),
    ]);
  },
);

test.each(["10.1.2.20", "10.1.2.0/24", "fe80::/10", "::1"])("%s is an address", async (address) => {
  expect(await found(callers(`{ address: "${address}" }`))).toEqual([]);
});
