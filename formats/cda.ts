/**
 * CDA R2 documents: the hard rules that decide whether one is accepted, and the facts that the index needs. libxml2 reads
 * the octets as they are; nothing is ever written back. Taiwan's EEC package around a document is looked through.
 */
import { ParseOption, XmlDocument, type XmlElement, type XmlNode, XmlParseError } from "libxml2-wasm";
import { Fault } from "../errors.ts";

export type CdaId = { readonly root: string; readonly extension: string };
export type CdaCode = {
  readonly code: string | null;
  readonly codeSystem: string | null;
  readonly displayName: string | null;
};

export type CdaFacts = {
  /** Inside a cdp:ContentPackage (EEC). */
  readonly isPackaged: boolean;
  /** EEC form (113 … 121) from its template id; null for any other document. */
  readonly form: string | null;
  readonly id: CdaId;
  /** root^extension, or the root alone (IHE ITI TF-3 4.2.3.2.26). */
  readonly uniqueId: string;
  readonly setId: CdaId | null;
  readonly versionNumber: string | null;
  readonly templateIds: readonly CdaId[];
  /** As written: digits, perhaps with a zone. */
  readonly effectiveTime: string;
  readonly code: CdaCode;
  readonly title: string | null;
  readonly confidentialityCode: string | null;
  readonly languageCode: string | null;
  /** Every patientRole/id and patient/id; an id that is a root alone has an empty extension. */
  readonly patientIds: readonly CdaId[];
  readonly patientName: string | null;
  readonly birthTime: string | null;
  readonly gender: string | null;
  readonly author: string | null;
  readonly custodian: string | null;
  readonly legalAuthenticator: string | null;
  readonly relatedDocuments: readonly { readonly type: "RPLC" | "APND" | "XFRM"; readonly uniqueId: string }[];
  readonly accessionNumbers: readonly string[];
  readonly serviceStart: string | null;
  readonly serviceStop: string | null;
  readonly practiceSetting: string | null;
  /** Studies that the document refers to. */
  readonly studyUids: readonly string[];
};

/** Largest document, octets. */
export const maxCdaBytes = 64 * 1024 * 1024;
const hl7 = "urn:hl7-org:v3";
const namespaces = { h: hl7, cdp: "http://www.hl7.org.tw/EMR/CDocumentPayload/v1.0" };
const eecTemplate = "2.16.886.101.20003.20014";
const maxListed = 256;
/** Order numbers of the EEC imaging form that are not the accession number: placer and filler. */
const otherOrderRoots = new Set(["1.2.840.10008.5.1.4.31.64.8214", "1.2.840.10008.5.1.4.31.64.8215"]);
/** Documents whose order id is an accession number: DICOM PS3.20 and C-CDA imaging reports, by template or LOINC code. */
const imagingTemplates = new Set(["1.2.840.10008.9.1", "2.16.840.1.113883.10.20.22.1.5", "2.16.840.1.113883.10.20.6"]);
const imagingCodes = new Set([
  "18748-4",
  "18782-3",
  "11528-7",
  "68604-8",
  "18726-0",
  "25045-6",
  "18747-6",
  "18755-9",
  "18760-9",
]);
const meaningless = new Set(["", "XXX", "NULL", "NA", "N/A", "UNKNOWN"]);

const uid = /^(?=.{1,64}$)[0-2](\.(0|[1-9][0-9]*))+$/;
/** HL7 V3 TS: at least the year, at most fractions and a zone. */
const timestamp = /^\d{4}(\d{2}(\d{2}(\d{2}(\d{2}(\d{2}(\.\d{1,6})?)?)?)?)?)?([+-]\d{2,4})?$/;

const refuse = (what: string): Fault => new Fault("CDA_INVALID", what);

/** Facts of a document that keeps the hard rules; CDA_INVALID says which it breaks, and where, without quoting it. */
export function readCda(bytes: Uint8Array): CdaFacts {
  if (bytes.length > maxCdaBytes) throw new Fault("TOO_LARGE", `the document is over ${maxCdaBytes} octets`);
  const document = parse(bytes);
  // The document lives in WebAssembly memory: it must be let go whatever happens.
  try {
    if (document.dtd !== null) throw refuse("a DOCTYPE is not accepted");
    return factsOf(clinicalDocument(document), document.root.name !== "ClinicalDocument");
  } finally {
    document.dispose();
  }
}

function parse(bytes: Uint8Array): XmlDocument {
  try {
    return XmlDocument.fromBuffer(bytes, {
      option: ParseOption.XML_PARSE_NONET | ParseOption.XML_PARSE_NO_XXE | ParseOption.XML_PARSE_BIG_LINES,
    });
  } catch (cause) {
    const line = cause instanceof XmlParseError ? cause.details[0]?.line : undefined;
    throw new Fault("CDA_INVALID", `not well-formed XML${line ? `, line ${line}` : ""}`);
  }
}

/** The one ClinicalDocument: the root, or inside an EEC ContentPackage. */
function clinicalDocument({ root }: XmlDocument): XmlElement {
  if (root.name === "ClinicalDocument" && root.namespaceUri === hl7) return root;
  if (root.name !== "ContentPackage" || root.namespaceUri !== namespaces.cdp) {
    throw refuse("the root is neither ClinicalDocument in urn:hl7-org:v3 nor an EEC ContentPackage");
  }
  const found = root.find("cdp:ContentContainer/cdp:StructuredContent/h:ClinicalDocument", namespaces);
  if (found.length !== 1) throw refuse(`the package holds ${found.length} clinical documents instead of one`);
  return found[0] as XmlElement;
}

function factsOf(document: XmlElement, isPackaged: boolean): CdaFacts {
  const id = ids(document, "h:id")[0];
  if (!id || id.root === "") throw refuse(`the document has no id with a root (line ${document.line})`);
  const targets = document.find("h:recordTarget", namespaces);
  if (targets.length !== 1) throw refuse(`${targets.length} recordTargets instead of one; a record is of one patient`);
  const patientIds = [
    ...ids(document, "h:recordTarget/h:patientRole/h:id"),
    ...ids(document, "h:recordTarget/h:patientRole/h:patient/h:id"),
  ];
  if (patientIds.length === 0) throw refuse(`recordTarget has no patient id (line ${targets[0]?.line ?? 0})`);
  const code = codeOf(document, "h:code");
  if (document.find("h:code", namespaces).length !== 1) throw refuse("the document has no code, or more than one");
  if (document.find("h:custodian", namespaces).length !== 1)
    throw refuse("the document has no custodian, or more than one");
  const effectiveTime = attribute(document, "h:effectiveTime/@value") ?? "";
  if (!timestamp.test(effectiveTime)) throw refuse("effectiveTime is missing or no time");

  const templateIds = ids(document, "h:templateId");
  const form =
    templateIds
      .filter(({ root }) => root === eecTemplate)
      .map(({ extension }) => /^(\d{3})(?!\d)/.exec(extension)?.[1])[0] ?? null;
  const studyUids = studiesOf(document, form);
  const target = "h:recordTarget/h:patientRole/h:patient";
  return {
    isPackaged,
    form,
    id,
    uniqueId: uniqueIdOf(id),
    setId: ids(document, "h:setId")[0] ?? null,
    versionNumber: attribute(document, "h:versionNumber/@value"),
    templateIds,
    effectiveTime,
    code,
    title: text(document, "h:title"),
    confidentialityCode: attribute(document, "h:confidentialityCode/@code"),
    languageCode: attribute(document, "h:languageCode/@code"),
    patientIds,
    patientName: text(document, `${target}/h:name`),
    birthTime: attribute(document, `${target}/h:birthTime/@value`),
    gender: attribute(document, `${target}/h:administrativeGenderCode/@code`),
    author: text(document, "h:author/h:assignedAuthor/h:assignedPerson/h:name"),
    custodian: text(document, "h:custodian/h:assignedCustodian/h:representedCustodianOrganization/h:name"),
    legalAuthenticator: text(document, "h:legalAuthenticator/h:assignedEntity/h:assignedPerson/h:name"),
    relatedDocuments: relatedOf(document),
    accessionNumbers: isImaging(form, templateIds, code, studyUids) ? accessionsOf(document) : [],
    serviceStart: attribute(document, "h:documentationOf/h:serviceEvent/h:effectiveTime/h:low/@value"),
    serviceStop: attribute(document, "h:documentationOf/h:serviceEvent/h:effectiveTime/h:high/@value"),
    practiceSetting: text(
      document,
      "h:componentOf/h:encompassingEncounter/h:location/h:healthCareFacility/h:location/h:name",
    ),
    studyUids,
  };
}

const isImaging = (
  form: string | null,
  templateIds: readonly CdaId[],
  { code }: CdaCode,
  studyUids: readonly string[],
): boolean =>
  form === "116" ||
  studyUids.length > 0 ||
  imagingCodes.has(code ?? "") ||
  templateIds.some(({ root }) => imagingTemplates.has(root));

/** The EEC imaging form names the study in serviceEvent; any document may in a DICOM Object Catalog (PS3.20 9.8.6, code 121181). */
function studiesOf(document: XmlElement, form: string | null): readonly string[] {
  const service =
    form === "116" ? roots(document, "h:documentationOf/h:serviceEvent/h:id[not(@extension) or @extension='']") : [];
  const catalog = "h:component/h:structuredBody//h:section[h:code/@code='121181']//h:act[h:code/@code='113014']/h:id";
  return [...new Set([...service, ...roots(document, catalog)])].filter((root) => uid.test(root));
}

function accessionsOf(document: XmlElement): readonly string[] {
  const orders = ids(document, "h:inFulfillmentOf/h:order/h:id").filter(({ root }) => !otherOrderRoots.has(root));
  return [...new Set(orders.map(({ extension }) => extension.trim()))].filter(
    (number) => !meaningless.has(number.toUpperCase()),
  );
}

function relatedOf(document: XmlElement): CdaFacts["relatedDocuments"] {
  return document
    .find("h:relatedDocument", namespaces)
    .slice(0, maxListed)
    .flatMap((related) => {
      const type = attribute(related, "@typeCode");
      const [id] = ids(related, "h:parentDocument/h:id");
      return id && (type === "RPLC" || type === "APND" || type === "XFRM") ? [{ type, uniqueId: uniqueIdOf(id) }] : [];
    });
}

/** Ids with a root or an extension; a null flavor is no id. */
function ids(node: XmlNode, path: string): readonly CdaId[] {
  return node
    .find(path, namespaces)
    .slice(0, maxListed)
    .map((each) => ({ root: attribute(each, "@root") ?? "", extension: attribute(each, "@extension") ?? "" }))
    .filter(({ root, extension }) => root !== "" || extension !== "");
}

const roots = (node: XmlNode, path: string): readonly string[] => ids(node, path).map(({ root }) => root);

const uniqueIdOf = ({ root, extension }: CdaId): string => (extension === "" ? root : `${root}^${extension}`);

function codeOf(node: XmlNode, path: string): CdaCode {
  return {
    code: attribute(node, `${path}/@code`),
    codeSystem: attribute(node, `${path}/@codeSystem`),
    displayName: attribute(node, `${path}/@displayName`),
  };
}

function attribute(node: XmlNode, path: string): string | null {
  const value = node.eval(`string(${path})`, namespaces);
  return typeof value === "string" && value !== "" ? value : null;
}

/** The text of the first match, white space joined. */
function text(node: XmlNode, path: string): string | null {
  const value = node.eval(`normalize-space(${path})`, namespaces);
  return typeof value === "string" && value !== "" ? value : null;
}
