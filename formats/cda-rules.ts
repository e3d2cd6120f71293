/** Rules of one's own: XPath 1.0 assertions over a document (prefixes h, sdtc, cdp, xsi), each for some forms or templates or for all. */
import type { CdaFacts } from "./cda.ts";
import { type CdaFinding, maxFindings, toldOf } from "./cda-finding.ts";
import { maxElements } from "./cda-markup.ts";
import { type CdaXml, elements, holds, placeIn } from "./cda-xml.ts";

export type CdaRule = {
  /** Rule set and rule: `cda-r2-header/title`. */
  readonly id: string;
  /** What must be true, from the context. */
  readonly test: string;
  /** Elements that are asked, from ClinicalDocument; without it ClinicalDocument itself. */
  readonly context?: string | undefined;
  readonly message: string;
  readonly severity: "error" | "warning";
  /** EEC forms it is for. */
  readonly forms?: readonly string[] | undefined;
  /** Roots of template ids it is for. */
  readonly templates?: readonly string[] | undefined;
};

/** Where the document breaks the rules: every element of a context is asked, as many as a document may have. */
export function brokenRules(cda: CdaXml, facts: CdaFacts, rules: readonly CdaRule[]): readonly CdaFinding[] {
  const found = { error: [] as CdaFinding[], warning: [] as CdaFinding[] };
  for (const rule of rules) {
    if (!isFor(rule, facts)) continue;
    const { id, severity, message } = rule;
    for (const element of rule.context ? elements(cda.root, rule.context, maxElements) : [cda.root]) {
      if (found[severity].length >= maxFindings) break;
      if (!holds(element, rule.test))
        found[severity].push({ check: "rules", id, severity, message, ...placeIn(cda, element) });
    }
  }
  return toldOf([...found.error, ...found.warning]);
}

const isFor = ({ forms, templates }: CdaRule, facts: CdaFacts): boolean =>
  (!forms || (facts.form !== null && forms.includes(facts.form))) &&
  (!templates || facts.templateIds.some(({ root }) => templates.includes(root)));
