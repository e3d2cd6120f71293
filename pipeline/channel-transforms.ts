/** Steps of channels' transforms, with what they name outside channels.yaml: lookup files read, modules found. */
import { statSync } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import type { Channel } from "./config.ts";
import { type Problem, readConfigFile } from "./config-file.ts";

/** A step that is ready to run. */
export type TransformStep =
  | { readonly kind: "set"; readonly field: string; readonly to: string }
  | {
      readonly kind: "map";
      readonly field: string;
      readonly values: ReadonlyMap<string, string>;
      readonly otherwise: string | undefined;
    }
  | { readonly kind: "use"; readonly module: string; readonly ms: number };

type Written = Channel["transform"][number];

const table = z.record(z.string(), z.string().max(4_096));

/** Steps by name of the channel; paths are relative to `folder`. */
export function channelTransforms(
  channels: readonly Channel[],
  folder: string,
): { readonly transforms: Readonly<Record<string, readonly TransformStep[]>>; readonly problems: readonly Problem[] } {
  const problems: Problem[] = [];
  const transforms = Object.fromEntries(
    channels.map((channel) => [
      channel.name,
      channel.transform.map((step, index) => {
        const wrong = (key: string, message: string): void =>
          void problems.push({
            code: "CONFIG_TRANSFORM",
            path: ["channels", channel.name, "transform", index, key],
            message,
          });
        return loaded(step, folder, wrong);
      }),
    ]),
  );
  return { transforms, problems };
}

function loaded(step: Written, folder: string, wrong: (key: string, message: string) => void): TransformStep {
  if ("set" in step) return { kind: "set", field: step.set, to: step.to };
  if ("map" in step)
    return { kind: "map", field: step.map, values: new Map(Object.entries(step.values)), otherwise: step.else };
  if ("use" in step) {
    const module = resolve(folder, step.use);
    if (!statSync(module, { throwIfNoEntry: false })?.isFile()) wrong("use", "there is no such file");
    return { kind: "use", module, ms: step.ms };
  }
  const { value, findings } = readConfigFile(resolve(folder, step.in), step.in, {});
  const parsed = table.safeParse(value);
  if (!parsed.success) wrong("in", findings[0]?.message ?? "it is no file of value: value, both as text");
  return { kind: "map", field: step.lookup, values: new Map(Object.entries(parsed.data ?? {})), otherwise: step.else };
}
