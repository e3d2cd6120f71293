/** The audit message of DICOM PS3.15 A.5.1: well-formed whatever it says, with its codes where they belong. */
import { XMLParser } from "fast-xml-parser";
import { expect, test } from "vitest";
import { type AuditMessage, writeAuditMessage } from "../../formats/audit-message.ts";

const message: AuditMessage = {
  at: "2026-11-28T08:00:00.000Z",
  action: "E",
  outcome: 8,
  says: 'NOT_PERMITTED "no" <&> \u0000 end',
  id: { code: "110112", system: "DCM", text: "Query" },
  type: { code: "ITI-18", system: "IHE Transactions", text: "Registry Stored Query" },
  site: "registry",
  participants: [
    {
      name: "registry",
      isRequestor: false,
      role: { code: "110152", system: "DCM", text: "Destination Role ID" },
      address: null,
    },
    {
      name: "hospital-b",
      isRequestor: true,
      role: { code: "110153", system: "DCM", text: "Source Role ID" },
      address: "192.0.2.7:4711",
    },
  ],
  patients: ["A223456781", 'x"y'],
  object: { id: "registry", details: { sequence: "7" } },
};

test("an XML reader finds every value where PS3.15 A.5.1 has it", () => {
  const xml = writeAuditMessage(message);
  const read = new XMLParser({ ignoreAttributes: false, attributeNamePrefix: "" }).parse(xml).AuditMessage;
  expect(read.EventIdentification).toMatchObject({
    EventActionCode: "E",
    EventDateTime: message.at,
    EventOutcomeIndicator: "8",
    EventID: { "csd-code": "110112", codeSystemName: "DCM", originalText: "Query" },
    EventTypeCode: { "csd-code": "ITI-18" },
    EventOutcomeDescription: 'NOT_PERMITTED "no" <&> ? end',
  });
  expect(read.ActiveParticipant).toMatchObject([
    { UserID: "registry", UserIsRequestor: "false" },
    {
      UserID: "hospital-b",
      UserIsRequestor: "true",
      NetworkAccessPointID: "192.0.2.7:4711",
      NetworkAccessPointTypeCode: "2",
    },
  ]);
  expect(read.AuditSourceIdentification).toEqual({ AuditSourceID: "registry" });
  expect(read.ParticipantObjectIdentification).toMatchObject([
    { ParticipantObjectID: "A223456781", ParticipantObjectTypeCode: "1", ParticipantObjectTypeCodeRole: "1" },
    { ParticipantObjectID: 'x"y' },
    { ParticipantObjectID: "registry", ParticipantObjectDetail: { type: "sequence", value: "Nw==" } },
  ]);
});
