/** Rules of one's own: XPath 1.0 assertions over a document (prefixes h, sdtc, cdp, xsi), each for some forms or templates or for all. */
import type { CdaFacts } from "./cda.ts";
import { type CdaFinding, maxFindings } from "./cda-finding.ts";
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

/** Elements of one context that are asked. */
export const maxContextElements = 1_000;

/** Where the document breaks the rules. */
export function brokenRules(cda: CdaXml, facts: CdaFacts, rules: readonly CdaRule[]): readonly CdaFinding[] {
  const found: CdaFinding[] = [];
  for (const rule of rules) {
    if (!isFor(rule, facts)) continue;
    for (const element of rule.context ? elements(cda.root, rule.context, maxContextElements) : [cda.root]) {
      if (holds(element, rule.test)) continue;
      const { id, severity, message } = rule;
      found.push({ check: "rules", id, severity, message, ...placeIn(cda, element) });
      if (found.length >= maxFindings) return found;
    }
  }
  return found;
}

const isFor = ({ forms, templates }: CdaRule, facts: CdaFacts): boolean =>
  (!forms || (facts.form !== null && forms.includes(facts.form))) &&
  (!templates || facts.templateIds.some(({ root }) => templates.includes(root)));
