/** What octets are, by how they begin, and whether that contradicts what was said of them. */

export type Kind = "zip" | "pdf" | "cda" | "other";

const names: Readonly<Record<Kind, string>> = { zip: "ZIP", pdf: "PDF", cda: "XML", other: "none" };
/** By the subtype of an ED value (OBX-5.3), what its octets may not be. */
const contradictions: ReadonlyMap<string, readonly Kind[]> = new Map([
  ["xml", ["zip", "pdf"]],
  ["pdf", ["zip", "cda"]],
  ["zip", ["pdf", "cda", "other"]],
]);

export function kindOf(bytes: Uint8Array): Kind {
  if (beginsWith(bytes, "PK\u0003\u0004")) return "zip";
  if (beginsWith(bytes, "%PDF")) return "pdf";
  return isXml(bytes) ? "cda" : "other";
}

/** What is said and what is so, where the one excludes the other. */
export const contradiction = (subtype: string, kind: Kind): string | undefined =>
  contradictions.get(subtype)?.includes(kind) ? `it says ${subtype.toUpperCase()} and is ${names[kind]}` : undefined;

export const beginsWith = (bytes: Uint8Array, text: string): boolean =>
  Buffer.from(bytes.subarray(0, text.length)).toString("latin1") === text;

/** After a byte order mark or white space, `<`; in UTF-16 too. */
function isXml(bytes: Uint8Array): boolean {
  const start = Buffer.from(bytes.subarray(0, 64))
    .toString("latin1")
    .replace(/^(\u00ef\u00bb\u00bf|\u00ff\u00fe|\u00fe\u00ff)/, "")
    .replaceAll("\0", "")
    .trimStart();
  return start.startsWith("<") && !/^<(!doctype )?html/i.test(start);
}

/** A clinical document by how it begins, bare or in the EEC package. Each alternative begins and ends otherwise: nothing is tried twice. */
const clinical =
  /^(?:<\?[^>]*>|<!--(?:(?!-->)[\s\S])*-->|\s|\\X0[AD]\\|\\X0D0A\\|\\\.br\\)*<(?:[\w.-]+:)?(?:ClinicalDocument|ContentPackage)[\s>]/;
const maxClinicalHead = 2048;

/** Whether a value that is said to be text is one, as it stands there or as Base64. */
export function isClinical(value: Uint8Array): boolean {
  const head = Buffer.from(value.subarray(0, maxClinicalHead)).toString("latin1");
  return clinical.test(/^[A-Za-z0-9+/]{8}/.test(head) ? Buffer.from(head, "base64").toString("latin1") : head);
}
