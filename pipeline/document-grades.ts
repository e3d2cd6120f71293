/** What findings of a document mean by its channel's grades: refused, held, or noted; never a word of the document. */
import { type ErrorCode, Fault } from "../errors.ts";
import { type CdaCheck, type CdaFinding, findingText } from "../formats/cda-finding.ts";
import type { OutboundChannel } from "./config.ts";

type Grades = OutboundChannel["validate"]["document"];
type Grade = Grades["rules"];

const codes = { rules: "CDA_RULE", schema: "CDA_SCHEMA" } as const satisfies Record<CdaCheck, ErrorCode>;

export type Graded = {
  readonly held: { readonly code: ErrorCode; readonly reason: string } | undefined;
  /** For the journal: `CDA_SCHEMA schema/element 64:5 /ClinicalDocument/documentationOf`. */
  readonly notes: readonly string[];
};

/** Findings told in one reason or step. */
const maxTold = 5;

/** Throws the fault of the gravest finding that is graded `reject`; a warning is never more than noted. */
export function gradeFindings(grades: Grades, findings: readonly CdaFinding[]): Graded {
  const gradeOf = ({ check, severity }: CdaFinding): Grade => (severity === "warning" ? "warn" : grades[check]);
  const told = findings.filter(({ check }) => grades[check] !== "skip");
  const [rejected] = told.filter((finding) => gradeOf(finding) === "reject");
  if (rejected) throw new Fault(codes[rejected.check], reasonOf(told, rejected, "reject", gradeOf));
  const [first] = told.filter((finding) => gradeOf(finding) === "hold");
  return {
    held: first && { code: codes[first.check], reason: reasonOf(told, first, "hold", gradeOf) },
    notes: cut(told.map(noteOf)),
  };
}

/** All that have this grade and come from the same check, the first few in full. */
function reasonOf(
  findings: readonly CdaFinding[],
  { check }: CdaFinding,
  grade: Grade,
  gradeOf: (finding: CdaFinding) => Grade,
): string {
  const same = findings.filter((finding) => finding.check === check && gradeOf(finding) === grade);
  return cut(same.map(findingText)).join("; ");
}

const noteOf = (finding: CdaFinding): string =>
  `${codes[finding.check]} ${finding.id} ${finding.line}:${finding.column} ${finding.xpath}`;

const cut = (texts: readonly string[]): readonly string[] =>
  texts.length <= maxTold ? texts : [...texts.slice(0, maxTold), `and ${texts.length - maxTold} more`];
