/** Rule sets: files of XPath assertions about documents, shipped in `rules/` or the house's own; each problem has its line. */
import { dirname, join, resolve } from "node:path";
import { z } from "zod";
import type { CdaRule } from "../formats/cda-rules.ts";
import { isXPath } from "../formats/cda-xml.ts";
import { readConfigFile } from "./config-file.ts";
import { type Finding, severityOf } from "./config-findings.ts";
import { keysOf, problemsOf } from "./config-schema-problems.ts";
import { oid } from "./config-values.ts";

const maxRules = 500;
const maxIncludes = 16;
/** Of one channel, included ones too. */
const maxSets = 64;
const shipped = join(import.meta.dirname, "..", "rules");

const id = z.string().regex(/^[a-z0-9][a-z0-9-]{0,62}$/, "an id is lower-case letters, digits and hyphens");
const xpath = z
  .string()
  .min(1)
  .max(2_000)
  .refine(isXPath, "no XPath 1.0 expression with the prefixes h, sdtc, cdp, xsi");

/** A rule file, key by key. */
const ruleSetSchema = z.strictObject({
  basedOn: z.string().min(1).max(500).describe("Which standard, guide or documents the rules are taken from."),
  include: z.array(z.string().min(1)).max(maxIncludes).default([]).describe("Rule sets that belong to it."),
  rules: z
    .array(
      z.strictObject({
        id: id.describe("Name of the rule; findings tell it after the name of the set."),
        test: xpath.describe("XPath 1.0 that must be true, from the context."),
        context: xpath
          .optional()
          .describe("Elements that are tested, from ClinicalDocument; without it ClinicalDocument."),
        message: z.string().min(1).max(200).describe("What is told when it is not true; never anything of a document."),
        severity: z.enum(["error", "warning"]).default("error").describe("A warning is noted whatever the grade is."),
        forms: z.array(z.string().max(16)).min(1).optional().describe("EEC forms it is for; without it all documents."),
        templates: z.array(oid).min(1).optional().describe("Template ids it is for; without it all documents."),
      }),
    )
    .max(maxRules)
    .describe("The rules."),
});
const knownKeys = keysOf([ruleSetSchema]);

/** One that was left out would be a document that passes unchecked. */
const overLimit = (file: string): Finding => ({
  file,
  line: 0,
  column: 0,
  severity: severityOf("CONFIG_RULES"),
  code: "CONFIG_RULES",
  message: `a channel has at most ${maxSets} rule sets, included ones too; put the rules of several into one`,
});

export type RuleSets = { readonly rules: readonly CdaRule[]; readonly findings: readonly Finding[] };

/** The rules of sets by name (shipped) or path (relative to `folder`), included ones too, each set once. */
export function readRuleSets(names: readonly string[], folder: string): RuleSets {
  const rules: CdaRule[] = [];
  const findings: Finding[] = [];
  const seen = new Set<string>();
  const read = (name: string, from: string): void => {
    const path = /^[a-z0-9-]+$/.test(name) ? join(shipped, `${name}.yaml`) : resolve(from, name);
    if (seen.has(path)) return;
    seen.add(path);
    if (seen.size > maxSets) {
      if (seen.size === maxSets + 1) findings.push(overLimit(path));
      return;
    }
    const source = readConfigFile(path, path, {});
    const parsed =
      source.value === undefined ? undefined : ruleSetSchema.safeParse(source.value, { reportInput: true });
    findings.push(...source.findings);
    for (const { path: keys, message } of parsed?.success === false ? problemsOf(parsed.error.issues, knownKeys) : [])
      findings.push(source.finding({ code: "CONFIG_RULES", path: keys, message }));
    if (!parsed?.success) return;
    const set = path.replace(/^.*[\\/]/, "").replace(/\.ya?ml$/, "");
    for (const other of parsed.data.include) read(other, dirname(path));
    rules.push(...parsed.data.rules.map((rule) => ({ ...rule, id: `${set}/${rule.id}` })));
  };
  for (const name of names) read(name, folder);
  return { rules, findings };
}
