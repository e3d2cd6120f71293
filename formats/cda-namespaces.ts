/** The namespaces of a document's names, by the prefix that they have in paths here and in rule files. */
export const namespaces = {
  h: "urn:hl7-org:v3",
  sdtc: "urn:hl7-org:sdtc",
  cdp: "http://www.hl7.org.tw/EMR/CDocumentPayload/v1.0",
  xsi: "http://www.w3.org/2001/XMLSchema-instance",
} as const;
