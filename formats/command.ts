/**
 * The JSON commands that travel as part 1 of an envelope where no document does (paper §3.1 (3)–(5)):
 * register, query, retrieve, addendum, change, correction, relation, status, and their answers. Strict both ways: an unknown field is refused, never ignored.
 */
import { z } from "zod";
import { Fault } from "../errors.ts";
import { checkShape } from "./command-shape.ts";
import { completed, documentEntrySchema } from "./document-entry.ts";
import { foundSchema, hex32, hex64, maxPatientIds, patientId, querySchema, registrationSchema } from "./query.ts";

/** The EEC forms that the exchange names (the paper's EMR categories); any other document is `other`. */
export const eecForms: readonly string[] = ["113", "114", "115", "116", "121"];

/** Largest JSON command accepted, octets of clear text. */
export const maxCommandBytes = 16 * 1024 * 1024;
export { maxPatientIds, type PatientId, type Registered } from "./query.ts";

/** Heads of a log in one question. */
export const maxHeads = 1000;
const auditHead = z.strictObject({ seq: z.int().min(0), head: hex64 });

/** Entries of one submission. */
export const maxEntries = 200;
const maxReplaced = 50_000;

/** Each command by its name: what is read, and what the reference says of it. */
export const commandSchemas = {
  /** ITI-42: entries of one submission set; each names the manifest of its record. */
  register: z.strictObject({
    command: z.literal("register"),
    submissionSet: hex32,
    entries: z.array(registrationSchema).min(1).max(maxEntries),
  }),
  /** ITI-18. */
  query: querySchema,
  /** The answer to a query. */
  found: foundSchema,
  /** ITI-43: one record. */
  retrieve: z.strictObject({ command: z.literal("retrieve"), uniqueId: z.string().max(512), manifestSha256: hex64 }),
  /** Images that came after their document was sealed (IHE XDS association APND). */
  addendum: z.strictObject({
    command: z.literal("addendum"),
    appends: z.string().max(512),
    /** Instances that went before and are not to be used any more, by SOP Instance UID and digest of record (decision 0007). */
    replaces: z
      .array(z.strictObject({ sop: z.string().max(64), digest: hex64 }))
      .min(1)
      .max(maxReplaced)
      .optional(),
    /** The addendum's own entry; its hash and size are those of this command. */
    entry: z.preprocess(completed, documentEntrySchema.omit({ hash: true, size: true })),
  }),
  /**
   * What becomes of what is registered: an entry of the sender's own is not approved any more or says something else
   * (ITI-57), or is gone with everything that it says (ITI-62), two ids are of one patient or are not, where the sender gives the ids of both (ITI-8), or a patient withholds or shares documents, where it gives the id.
   */
  change: z.discriminatedUnion("action", [
    z.strictObject({
      command: z.literal("change"),
      action: z.enum(["deprecate", "remove"]),
      uniqueId: z.string().max(512),
      manifestSha256: hex64,
    }),
    z.strictObject({
      command: z.literal("change"),
      action: z.literal("update"),
      uniqueId: z.string().max(512),
      ...registrationSchema.shape,
    }),
    z.strictObject({
      command: z.literal("change"),
      action: z.enum(["merge", "unmerge"]),
      merges: z
        .array(z.strictObject({ prior: patientId, surviving: patientId }))
        .min(1)
        .max(maxPatientIds),
    }),
    z.strictObject({
      command: z.literal("change"),
      action: z.literal("consent"),
      patientIds: z.array(patientId).min(1).max(maxPatientIds),
      decision: z.enum(["withhold", "share"]),
      /** To whom, and which forms (`other` for a document of none); left out: all. */
      orgs: z.array(z.string().max(64)).min(1).max(1000).optional(),
      forms: z.array(z.string().max(16)).min(1).max(32).optional(),
    }),
  ]),
  /** A record that the receiver has, of the sender's: cancelled (`by` is null), or replaced by another one. */
  correction: z.strictObject({
    command: z.literal("correction"),
    uniqueId: z.string().max(512),
    manifestSha256: hex64,
    by: registrationSchema.nullable(),
  }),
  /** What a document of the sender's that is pushed next is to another one of its own, where it does not say so itself (decision 37). */
  relation: z.strictObject({
    command: z.literal("relation"),
    uniqueId: z.string().min(1).max(512),
    relatedDocument: z.strictObject({ type: z.enum(["RPLC", "APND"]), uniqueId: z.string().min(1).max(512) }),
  }),
  /**
   * Whether a message of the sender's own got through; the answer is its receipt, or `unknown`. Or which of these heads, newest
   * first, the audit log of who is asked still has; the answer is `holds`.
   */
  status: z.union([
    z.strictObject({ command: z.literal("status"), message: hex32 }),
    z.strictObject({ command: z.literal("status"), heads: z.array(auditHead).min(1).max(maxHeads) }),
  ]),
  unknown: z.strictObject({ command: z.literal("unknown"), message: hex32 }),
  /** The first of the heads that the log has; null: none. */
  holds: z.strictObject({ command: z.literal("holds"), head: auditHead.nullable() }),
  /** A signed refusal (RFC 9457 members). */
  refusal: z.strictObject({
    command: z.literal("refusal"),
    type: z.string().max(128),
    title: z.string().max(256),
    status: z.int(),
    code: z.string().max(64),
  }),
} as const;

export type CommandName = keyof typeof commandSchemas;
export type Command<N extends CommandName> = z.output<(typeof commandSchemas)[N]>;
/** A command as it may be written: what has a default may be left out. */
export type Draft<N extends CommandName> = z.input<(typeof commandSchemas)[N]>;

/** Media type of a command part. */
export const commandMediaType = "application/vnd.semrs.command+json";
/** Media type of a receipt part. */
export const receiptMediaType = "application/vnd.semrs.receipt";

/** A command as the octets of part 1: UTF-8 JSON. */
export const writeCommand = <N extends CommandName>(command: Draft<N>): Uint8Array =>
  new TextEncoder().encode(JSON.stringify(command));

/** Reads part 1 as the command expected at this place; QUERY_INVALID names the first field that is wrong, never its value. */
export function readCommand<N extends CommandName>(name: N, bytes: Uint8Array): Command<N> {
  checkShape(name, bytes);
  let json: unknown;
  try {
    json = JSON.parse(new TextDecoder("utf-8", { fatal: true }).decode(bytes));
  } catch (cause) {
    throw new Fault("QUERY_INVALID", `the ${name} command is not JSON in UTF-8`, { cause });
  }
  const result = commandSchemas[name].safeParse(json);
  if (result.success) return result.data as Command<N>;
  const [issue] = result.error.issues;
  const at = issue?.path.join(".") || "(top)";
  // Its name is the sender's own word, and not repeated.
  const unknown = issue?.code === "unrecognized_keys" ? ", which has a field that is unknown" : "";
  throw new Fault("QUERY_INVALID", `the ${name} command is not valid at ${at}${unknown}`);
}
