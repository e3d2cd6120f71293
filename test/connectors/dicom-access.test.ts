/** Who may call a DICOM listener, and with what the others are rejected (PS3.8 Table 9-21). */
import { describe, expect, test } from "vitest";
import { openAccess, providerRejection, userRejection } from "../../connectors/dicom/access.ts";
import { readRequest } from "../../connectors/dicom/association.ts";
import { associateRq } from "../dicom-peer.ts";

const callers = [
  { aeTitle: "CT_1", address: "10.1.2.31" },
  { aeTitle: "CT_2", address: "10.1.3.0/24" },
  { address: "2001:db8:1::/48" },
  { address: "2001:db8:2::7" },
  { aeTitle: "PACS_A", subject: "pacs.hospital-a.example" },
];

describe("callers", () => {
  test.each([
    ["its title from its address", "CT_1", "10.1.2.31", [], 0],
    ["as seen on a socket for both families", "CT_1", "::ffff:10.1.2.31", [], 0],
    ["its title from another address", "CT_1", "10.1.2.32", [], undefined],
    ["a range", "CT_2", "10.1.3.255", [], 1],
    ["out of the range", "CT_2", "10.1.4.1", [], undefined],
    ["any title from an IPv6 range", "ANY", "2001:db8:1:ffff::1", [], 2],
    ["with a zone", "ANY", "2001:db8:1::1%eth0", [], 2],
    ["an IPv6 address", "ANY", "2001:db8:2::7", [], 3],
    ["out of the IPv6 range", "ANY", "2001:db8:3::1", [], undefined],
    ["the subject of its certificate", "PACS_A", "10.9.9.9", ["x", "pacs.hospital-a.example"], 4],
    ["another certificate", "PACS_A", "10.9.9.9", ["pacs.hospital-b.example"], undefined],
    ["no certificate", "PACS_A", "10.9.9.9", [], undefined],
    ["another title with the certificate", "PACS_B", "10.9.9.9", ["pacs.hospital-a.example"], undefined],
  ])("%s", (_what, aeTitle, address, names, rule) => {
    const admitted = openAccess(callers)({ aeTitle, address, names });
    expect(admitted).toBe(rule === undefined ? undefined : callers[rule]);
  });

  test("an empty list lets anybody in", () => {
    expect(openAccess([])({ aeTitle: "ANY", address: "192.0.2.1", names: [] })).toEqual({});
  });

  test.each(["10.1.2", "10.0.0.0/33", "10.0.0.0/", "10.0.0.0/x", "::/129", "pacs.example"])(
    "%s is no address",
    (address) => {
      expect(() => openAccess([{ address }])).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
    },
  );
});

describe("rejections (PS3.8 9.3.4)", () => {
  const request = readRequest(associateRq().subarray(6));
  test.each([
    ["too many associations", providerRejection(request, true), [2, 3, 2]],
    ["another protocol version", providerRejection({ ...request, protocolVersion: 2 }, false), [1, 2, 2]],
    [
      "another application context",
      userRejection({ ...request, applicationContext: "1.2" }, "SEMRS_A", true),
      [1, 1, 2],
    ],
    ["another called AE title", userRejection(request, "SEMRS_B", true), [1, 1, 7]],
    ["a caller that is not welcome", userRejection(request, "SEMRS_A", false), [1, 1, 3]],
  ])("%s", (_what, rejection, expected) => {
    expect([rejection?.result, rejection?.source, rejection?.reason]).toEqual(expected);
  });

  test("one that may call is not rejected", () => {
    expect(providerRejection(request, false) ?? userRejection(request, "SEMRS_A", true)).toBeUndefined();
  });
});
