/** What channels name outside channels.yaml for checking documents: rule sets and schema folders, read when a site starts. */
import { resolve } from "node:path";
import { Fault } from "../errors.ts";
import type { CdaChecks } from "../formats/cda-examine.ts";
import { compileSchema } from "../formats/cda-schema.ts";
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
    const { rules: grade, ruleSets, schema, schemas } = channel.validate.document;
    const path = ["channels", channel.name, "validate", "document"];
    const sets = grade === "skip" ? { rules: [], findings: [] } : readRuleSets(ruleSets, folder);
    findings.push(...sets.findings);
    const isValidated = schema !== "skip";
    if (isValidated && !schemas)
      problems.push({ code: "CONFIG_SCHEMA", path: [...path, "schema"], message: `${schema} needs schemas, a folder` });
    const place = isValidated && schemas ? resolve(folder, schemas) : undefined;
    if (place) problems.push(...schemaProblems(place, [...path, "schemas"]));
    if (sets.rules.length > 0 || place)
      checks[channel.name] = { rules: sets.rules, ...(place ? { schema: place } : {}) };
  }
  return { checks, problems, findings };
}

function schemaProblems(folder: string, path: readonly PropertyKey[]): readonly Problem[] {
  try {
    compileSchema(folder);
    return [];
  } catch (thrown) {
    if (!(thrown instanceof Fault)) throw thrown;
    return [{ code: "CONFIG_SCHEMA", path, message: thrown.message }];
  }
}
