/** What a check finds in a document: what and where, and never what it says there. */
import { type CdaPlace, placeText } from "./cda-xml.ts";

/** The checks that a channel can grade. */
export type CdaCheck = "rules" | "schema";

export type CdaFinding = CdaPlace & {
  readonly check: CdaCheck;
  /** Rule set and rule, or what kind of schema error. */
  readonly id: string;
  readonly severity: "error" | "warning";
  readonly message: string;
};

/** At most so many findings of one check are told. */
export const maxFindings = 20;

/** Those that are told, errors first: however many warnings there are, they hide none. */
export const toldOf = <T extends Pick<CdaFinding, "severity">>(found: readonly T[]): readonly T[] =>
  [
    ...found.filter(({ severity }) => severity === "error"),
    ...found.filter(({ severity }) => severity === "warning"),
  ].slice(0, maxFindings);

/** `eec-116/study: names no study (line 5, column 3, /ClinicalDocument)`. */
export const findingText = (finding: CdaFinding): string => `${finding.id}: ${finding.message}${placeText(finding)}`;
