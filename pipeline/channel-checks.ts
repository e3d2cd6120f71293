/** What channels name outside channels.yaml for checking documents: rule sets and schema folders, read when a site starts. */
import { resolve } from "node:path";
import { Fault, orFault } from "../errors.ts";
import type { CdaChecks } from "../formats/cda-examine.ts";
import { compileSchema } from "../formats/cda-schema.ts";
import { checkSchematron } from "../formats/cda-schematron.ts";
import type { Channel } from "./config.ts";
import type { Problem } from "./config-file.ts";
import type { Finding } from "./config-findings.ts";
import { readRuleSets } from "./rule-sets.ts";

export type ChannelChecks = {
  /** By name of the channel; a channel without checks is not in it. */
  readonly checks: Readonly<Record<string, CdaChecks>>;
  readonly problems: readonly Problem[];
  /** In the rule files themselves. */
  readonly findings: readonly Finding[];
};

/** Reads what the outbound channels name; paths are relative to `folder`. */
export function channelChecks(channels: readonly Channel[], folder: string): ChannelChecks {
  const problems: Problem[] = [];
  const findings: Finding[] = [];
  const checks: Record<string, CdaChecks> = {};
  for (const channel of channels) {
    if (channel.kind !== "outbound") continue;
    const { rules: grade, ruleSets, schema, schemas, schematron } = channel.validate.document;
    const path = ["channels", channel.name, "validate", "document"];
    const sets = grade === "skip" ? { rules: [], findings: [] } : readRuleSets(ruleSets, folder);
    findings.push(...sets.findings);
    const isValidated = schema !== "skip";
    if (isValidated && !schemas)
      problems.push({ code: "CONFIG_SCHEMA", path: [...path, "schema"], message: `${schema} needs schemas, a folder` });
    const place = isValidated && schemas ? resolve(folder, schemas) : undefined;
    if (place) problems.push(...problemsOf("CONFIG_SCHEMA", () => compileSchema(place), [...path, "schemas"]));
    const stylesheets = grade !== "skip" && schematron ? resolve(folder, schematron) : undefined;
    if (stylesheets)
      problems.push(...problemsOf("CONFIG_SCHEMATRON", () => checkSchematron(stylesheets), [...path, "schematron"]));
    if (sets.rules.length > 0 || place || stylesheets)
      checks[channel.name] = {
        rules: sets.rules,
        ...(place ? { schema: place } : {}),
        ...(stylesheets ? { schematron: stylesheets } : {}),
      };
  }
  return { checks, problems, findings };
}

function problemsOf(
  code: "CONFIG_SCHEMA" | "CONFIG_SCHEMATRON",
  check: () => unknown,
  path: readonly PropertyKey[],
): readonly Problem[] {
  const found = orFault(check);
  return found instanceof Fault ? [{ code, path, message: found.message }] : [];
}
