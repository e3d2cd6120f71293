/**
 * Station `transform`: fields of a message changed by steps or by an engineer's module, before patients are compared (outbound)
 * or before it is delivered (inbound). The document's octets are never among what a transform can write, and that is proved.
 */
import { Fault } from "../errors.ts";
import type { PatientId } from "../formats/command.ts";
import {
  decoderOf,
  embeddedDocuments,
  type MessageFacts,
  patientIdentifiers,
  payloadlessFrame,
  readMsh,
} from "../formats/hl7.ts";
import { edited, type FieldEdit } from "../formats/hl7-edit.ts";
import { openPool, type Pool } from "../formats/worker-pool.ts";
import type { TransformStep } from "./channel-transforms.ts";
import type { OutboundChannel } from "./config.ts";
import { patientIdsOf } from "./identifiers.ts";
import { pass, type Site } from "./site.ts";
import type { TransformJob } from "./transform-worker.ts";
import type { SpooledMessage } from "./verdicts.ts";

type Message = { readonly bytes: Uint8Array; readonly facts: MessageFacts };

/** Patient ids of a message as the channel's transform shows it; undefined if there is no transform. */
export async function patientSeen(
  site: Site,
  channel: OutboundChannel,
  message: SpooledMessage,
  document: Uint8Array,
): Promise<readonly PatientId[] | undefined> {
  const steps = site.config.own.transforms[channel.name] ?? [];
  if (steps.length === 0) return undefined;
  const seen = await pass(site, "transform", channel.name, () => transformed(steps, message, document));
  return patientIdsOf(site.config, patientIdentifiers(seen.bytes, seen.facts)).ids;
}

/** A message of ours, written in `charset`, as the channel's transform makes it; TRANSFORM_FAILED if anything but its fields changed. */
export async function deliveredMessage(
  site: Site,
  channel: string,
  built: Uint8Array,
  charset: string,
  document: Uint8Array,
): Promise<Uint8Array> {
  const steps = site.config.own.transforms[channel] ?? [];
  if (steps.length === 0) return built;
  // MSH-18 does not say it of every charset (windows-125x).
  const facts = readMsh(built, { charset });
  const before = embeddedDocuments(built, facts);
  return await pass(site, "transform", channel, async () => {
    const { bytes } = await transformed(steps, { bytes: built, facts }, document);
    const after = embeddedDocuments(bytes, facts);
    const isSame = (index: number): boolean =>
      Buffer.compare(before[index]?.bytes ?? new Uint8Array(), after[index]?.bytes ?? new Uint8Array()) === 0;
    if (after.length !== before.length || !before.every((_, index) => isSame(index)))
      throw new Fault("TRANSFORM_FAILED", "the transformed message does not carry its documents as they are");
    return bytes;
  });
}

/** A message after the steps, each seeing what the one before it left. */
export async function transformed(
  steps: readonly TransformStep[],
  { bytes, facts }: Message,
  document: Uint8Array,
): Promise<Message> {
  let message: Message = { bytes, facts };
  for (const step of steps) {
    const edits = await editsOf(step, message, document);
    if (edits.length > 0) message = { bytes: edited(message.bytes, message.facts, edits), facts };
  }
  return message;
}

async function editsOf(
  step: TransformStep,
  { bytes, facts }: Message,
  document: Uint8Array,
): Promise<readonly FieldEdit[]> {
  if (step.kind === "set") return [{ field: step.field, to: step.to }];
  if (step.kind === "map") {
    const { field, values, otherwise } = step;
    return [{ field, to: (value) => values.get(value) ?? otherwise ?? value }];
  }
  const text = decoderOf(facts.charset).decode(payloadlessFrame(bytes, facts));
  return await poolOf(step.module).run({ text, document }, step.ms);
}

/** One worker a module: a module that keeps state sees the messages of its channel one after the other. */
const pools = new Map<string, Pool<TransformJob, readonly FieldEdit[]>>();

/** Long after any step may take, what ran under the old module has ended. */
const renewMs = 120_000;

/** Modules are read anew from now on; what is under way ends with the one it began with. */
export function renewModules(): void {
  for (const [module, pool] of pools) {
    pools.delete(module);
    setTimeout(() => void pool.close(), renewMs).unref();
  }
}

function poolOf(module: string): Pool<TransformJob, readonly FieldEdit[]> {
  const known = pools.get(module);
  if (known) return known;
  const pool = openPool<TransformJob, readonly FieldEdit[]>(new URL("./transform-worker.ts", import.meta.url), {
    name: "transform",
    workers: 1,
    maxHeapMb: 256,
    over: "TRANSFORM_FAILED",
    what: `the transform ${module.replace(/^.*[\\/]/, "")}`,
    data: module,
  });
  pools.set(module, pool);
  return pool;
}
