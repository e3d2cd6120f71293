/** Pages about codes: one a failure, and tables of what the journal notes and of what `semrs check` finds. */
import { consequenceOf, type ErrorCode, errorCodes } from "../../errors.ts";
import { findingCodes, meaningOf as findingMeaning, severityOf } from "../../pipeline/config-findings.ts";
import { noteCodes, noteMeanings } from "../../pipeline/notes.ts";
import { errorMeanings } from "../meanings.ts";
import { generated } from "./generated.ts";
import { xdsCodes } from "./xds.ts";

const status = (dicom: number): string => dicom.toString(16).padStart(4, "0").toUpperCase();

/** docs/reference/errors.md: all codes in one table. */
export const errorIndex = (): string =>
  [
    "# Error codes",
    "",
    generated,
    "",
    "Every failure an operator can see has one of these codes: in the log, in the journal, in ERR-8 of an acknowledgement. The",
    "last columns are what each protocol tells its peer: MSA-1, the C-STORE status, the HTTP status. A code is never reused.",
    "",
    "| code | cause | repeated by itself | HL7 | DICOM | HTTP |",
    "|---|---|---|---|---|---|",
    ...errorCodes.map((code) => {
      const { retry, hl7, dicom, http } = consequenceOf(code);
      const [cause] = errorMeanings[code];
      return `| [\`${code}\`](errors/${code}.md) | ${cause} | ${retry ? "yes" : "no"} | ${hl7} | ${status(dicom)} | ${http} |`;
    }),
    "",
    "## What XDS says in their place",
    "",
    "For a program that stands between our registry or repository and systems that speak IHE XDS (ITI TF-3 4.2.4.1):",
    "",
    "| code | registry | repository |",
    "|---|---|---|",
    ...errorCodes.flatMap((code) => {
      const [registry, repository = registry] = xdsCodes[code] ?? [];
      return registry ? [`| [\`${code}\`](errors/${code}.md) | ${registry} | ${repository} |`] : [];
    }),
    "",
    "## What the journal notes",
    "",
    "No failures: why something was filtered, held, or travels with less.",
    "",
    "| code | what it means | what to do |",
    "|---|---|---|",
    ...noteCodes.map((code) => `| \`${code}\` | ${noteMeanings[code].join(" | ")} |`),
    "",
  ].join("\n");

/** docs/reference/errors/CODE.md */
export function errorPage(code: ErrorCode): string {
  const { retry, hl7, dicom, http } = consequenceOf(code);
  const [cause, remedy] = errorMeanings[code];
  return [
    `# ${code}`,
    "",
    generated,
    "",
    `**Cause.** ${cause}`,
    "",
    `**What to do.** ${remedy}`,
    "",
    `**Repeated by itself.** ${retry ? "Yes: with growing pauses, until `delivery.retry.for` is over." : "No: it stays refused, held or parked until a person decides (`semrs journal list`)."}`,
    "",
    "| who is told | what |",
    "|---|---|",
    `| a HIS (MLLP) | MSA-1 \`${hl7}\`, ERR-8 begins with \`${code}\` |`,
    `| a PACS (C-STORE) | status \`${status(dicom)}\` |`,
    `| a partner or program (HTTP) | status \`${http}\` |`,
    "",
    "[All codes](../errors.md)",
    "",
  ].join("\n");
}

/** docs/reference/findings.md */
export const findingIndex = (): string =>
  [
    "# What semrs check finds",
    "",
    generated,
    "",
    "An error keeps the site from starting, a warning does not. Each is told with file:line:column, or with the file it is about.",
    "",
    "| code | | what it means | what to do |",
    "|---|---|---|---|",
    ...findingCodes.map((code) => {
      const { cause, remedy } = findingMeaning(code);
      return `| \`${code}\` | ${severityOf(code)} | ${cause} | ${remedy} |`;
    }),
    "",
  ].join("\n");
