/** Facts of a CDA header for index, matching and rules; a list of over 256 is refused. */
import type { XmlNode } from "libxml2-wasm";
import { isMeaningful } from "./accession.ts";
import type { CdaTime, Precision } from "./cda-time.ts";
import { allElements, type CdaXml, elements, text, value } from "./cda-xml.ts";

export type CdaId = { readonly root: string; readonly extension: string };
export type CdaCode = {
  readonly code: string | null;
  readonly codeSystem: string | null;
  readonly displayName: string | null;
};
/** Somebody who wrote, keeps or signed: a person, a device or an organisation. */
export type CdaParty = {
  readonly ids: readonly CdaId[];
  readonly name: string | null;
  readonly organization: string | null;
  readonly time: string | null;
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
  readonly effectiveTimePrecision: Precision;
  readonly effectiveTimeZone: string | null;
  readonly code: CdaCode;
  readonly title: string | null;
  readonly confidentialityCode: string | null;
  readonly languageCode: string | null;
  /** Every patientRole/id and patient/id; an id that is a root alone has an empty extension. */
  readonly patientIds: readonly CdaId[];
  readonly patientNames: readonly string[];
  /** The first of them. */
  readonly patientName: string | null;
  readonly birthTime: string | null;
  readonly gender: string | null;
  readonly authors: readonly CdaParty[];
  readonly custodian: CdaParty | null;
  readonly legalAuthenticator: CdaParty | null;
  readonly relatedDocuments: readonly { readonly type: "RPLC" | "APND" | "XFRM"; readonly uniqueId: string }[];
  /** inFulfillmentOf: every order number, whoever gave it. */
  readonly orderIds: readonly CdaId[];
  /** Those of them that are accession numbers. */
  readonly accessionNumbers: readonly string[];
  readonly serviceEvents: readonly {
    readonly ids: readonly CdaId[];
    readonly code: CdaCode;
    readonly start: string | null;
    readonly stop: string | null;
  }[];
  readonly encounter: {
    readonly ids: readonly CdaId[];
    readonly code: CdaCode;
    readonly start: string | null;
    readonly stop: string | null;
    /** healthCareFacility/code. */
    readonly facility: CdaCode;
    /** Name of the department, as the EEC forms give it. */
    readonly department: string | null;
  } | null;
  /** Studies that the document refers to. */
  readonly studyUids: readonly string[];
};

const eecTemplate = "2.16.886.101.20003.20014";
/** Order numbers of the EEC imaging form that are not the accession number: placer and filler. */
const otherOrderRoots = new Set(["1.2.840.10008.5.1.4.31.64.8214", "1.2.840.10008.5.1.4.31.64.8215"]);
/** Documents whose order id is an accession number: DICOM PS3.20 and C-CDA imaging reports, by template or LOINC code. */
const imagingTemplates = new Set(["1.2.840.10008.9.1", "2.16.840.1.113883.10.20.22.1.5", "2.16.840.1.113883.10.20.6"]);
const imagingCodes = new Set("18748-4 18782-3 11528-7 68604-8 18726-0 25045-6 18747-6 18755-9 18760-9".split(" "));
const uid = /^(?=.{1,64}$)[0-2](\.(0|[1-9][0-9]*))+$/;

const target = "h:recordTarget/h:patientRole";
const party = { person: "h:assignedPerson/h:name", device: "h:assignedAuthoringDevice/h:softwareName" } as const;

/** Facts of a document that keeps the hard rules. */
export function factsOf({ root, isPackaged }: CdaXml, effectiveTime: CdaTime): CdaFacts {
  const templateIds = ids(root, "h:templateId");
  const form = formOf(templateIds);
  const code = codeOf(root, "h:code");
  const studyUids = studiesOf(root, form);
  const [id = { root: "", extension: "" }] = ids(root, "h:id");
  const patientNames = allElements(root, `${target}/h:patient/h:name`).flatMap((name) => text(name, ".") ?? []);
  const orderIds = ids(root, "h:inFulfillmentOf/h:order/h:id");
  const isReport = isImaging(form, templateIds, code, studyUids);
  return {
    isPackaged,
    form,
    id,
    uniqueId: uniqueIdOf(id),
    setId: ids(root, "h:setId")[0] ?? null,
    versionNumber: value(root, "h:versionNumber/@value"),
    templateIds,
    effectiveTime: effectiveTime.text,
    effectiveTimePrecision: effectiveTime.precision,
    effectiveTimeZone: effectiveTime.zone,
    code,
    title: text(root, "h:title"),
    confidentialityCode: value(root, "h:confidentialityCode/@code"),
    languageCode: value(root, "h:languageCode/@code"),
    patientIds: [...ids(root, `${target}/h:id`), ...ids(root, `${target}/h:patient/h:id`)],
    patientNames,
    patientName: patientNames[0] ?? null,
    birthTime: value(root, `${target}/h:patient/h:birthTime/@value`),
    gender: value(root, `${target}/h:patient/h:administrativeGenderCode/@code`),
    authors: allElements(root, "h:author").map((author) =>
      partyOf(author, "h:assignedAuthor", "h:representedOrganization"),
    ),
    custodian: custodianOf(root),
    legalAuthenticator:
      elements(root, "h:legalAuthenticator", 1).map((signer) =>
        partyOf(signer, "h:assignedEntity", "h:representedOrganization"),
      )[0] ?? null,
    relatedDocuments: relatedOf(root),
    orderIds,
    accessionNumbers: isReport ? accessionsOf(orderIds) : [],
    serviceEvents: allElements(root, "h:documentationOf/h:serviceEvent").map((event) => ({
      ids: ids(event, "h:id"),
      code: codeOf(event, "h:code"),
      ...intervalOf(event),
    })),
    encounter: encounterOf(root),
    studyUids,
  };
}

const formOf = (templateIds: readonly CdaId[]): string | null =>
  templateIds
    .filter(({ root }) => root === eecTemplate)
    .map(({ extension }) => /^(\d{3})(?!\d)/.exec(extension)?.[1])[0] ?? null;

function partyOf(node: XmlNode, assigned: string, organization: string): CdaParty {
  return {
    ids: ids(node, `${assigned}/h:id`),
    name: text(node, `${assigned}/${party.person}`) ?? text(node, `${assigned}/${party.device}`),
    organization: text(node, `${assigned}/${organization}/h:name`),
    time: value(node, "h:time/@value"),
  };
}

function custodianOf(root: XmlNode): CdaParty | null {
  const path = "h:custodian/h:assignedCustodian/h:representedCustodianOrganization";
  const [keeper] = elements(root, path, 1);
  if (!keeper) return null;
  const name = text(keeper, "h:name");
  return { ids: ids(keeper, "h:id"), name, organization: name, time: null };
}

function encounterOf(root: XmlNode): CdaFacts["encounter"] {
  const [encounter] = elements(root, "h:componentOf/h:encompassingEncounter", 1);
  if (!encounter) return null;
  const facility = "h:location/h:healthCareFacility";
  return {
    ids: ids(encounter, "h:id"),
    code: codeOf(encounter, "h:code"),
    ...intervalOf(encounter),
    facility: codeOf(encounter, `${facility}/h:code`),
    department: text(encounter, `${facility}/h:location/h:name`),
  };
}

/** IVL_TS: low and high, or one point in time that is both. */
function intervalOf(node: XmlNode): { readonly start: string | null; readonly stop: string | null } {
  const point = value(node, "h:effectiveTime/@value");
  return {
    start: value(node, "h:effectiveTime/h:low/@value") ?? point,
    stop: value(node, "h:effectiveTime/h:high/@value") ?? point,
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
function studiesOf(root: XmlNode, form: string | null): readonly string[] {
  const service =
    form === "116" ? ids(root, "h:documentationOf/h:serviceEvent/h:id[not(@extension) or @extension='']") : [];
  const catalog = "h:component/h:structuredBody//h:section[h:code/@code='121181']//h:act[h:code/@code='113014']/h:id";
  return [...new Set([...service, ...ids(root, catalog)].map((id) => id.root))].filter((root) => uid.test(root));
}

const accessionsOf = (orderIds: readonly CdaId[]): readonly string[] =>
  [
    ...new Set(orderIds.filter(({ root }) => !otherOrderRoots.has(root)).map(({ extension }) => extension.trim())),
  ].filter((number) => isMeaningful(number));

const relatedOf = (root: XmlNode): CdaFacts["relatedDocuments"] =>
  allElements(root, "h:relatedDocument").flatMap((related) => {
    const type = value(related, "@typeCode");
    const [id] = ids(related, "h:parentDocument/h:id");
    return id && (type === "RPLC" || type === "APND" || type === "XFRM") ? [{ type, uniqueId: uniqueIdOf(id) }] : [];
  });

/** Ids with a root or an extension; a null flavor is no id. */
const ids = (node: XmlNode, path: string): readonly CdaId[] =>
  allElements(node, path)
    .map((each) => ({ root: value(each, "@root") ?? "", extension: value(each, "@extension") ?? "" }))
    .filter(({ root, extension }) => root !== "" || extension !== "");

const uniqueIdOf = ({ root, extension }: CdaId): string => (extension === "" ? root : `${root}^${extension}`);

const codeOf = (node: XmlNode, path: string): CdaCode => {
  const [code] = elements(node, path, 1);
  const of = (name: string): string | null => (code ? value(code, name) : null);
  return { code: of("@code"), codeSystem: of("@codeSystem"), displayName: of("@displayName") };
};
