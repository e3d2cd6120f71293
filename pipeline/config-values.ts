/** Values that channels.yaml writes as text: names, durations, addresses, grades. */
import { z } from "zod";
import { fieldAddress } from "../formats/hl7-edit.ts";
import { parseDuration, parseSize } from "./duration.ts";
import { isTimeZone } from "./windows.ts";

export const name = z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, "a name is lower-case letters, digits and hyphens");
export const oid = z.string().regex(/^[0-2](\.(0|[1-9][0-9]*))+$/, "an OID is digits and dots");
export const duration = z.string().transform((text, context) => {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  context.addIssue({ code: "custom", message: "a duration is a number and ms, s, m, h or d, for example 60s" });
  return z.NEVER;
});
const longestTimer = "24d";
/** A duration that a timer waits: Node's fire at once where they should wait longer. */
export const pause = duration.refine((ms) => ms <= (parseDuration(longestTimer) ?? 0), `at most ${longestTimer}`);
/** A duration with a default, which is written as a person would. */
export const lasting = (text: string, description: string) => duration.prefault(text).describe(description);
/** The same of a pause. */
export const pausing = (text: string, description: string) => pause.prefault(text).describe(description);
/** A number of octets as people write it: 64MiB. */
const octets = z.string().transform((written, context) => {
  const bytes = parseSize(written);
  if (bytes !== undefined) return bytes;
  context.addIssue({ code: "custom", message: "a size is a number and KiB, MiB or GiB, for example 64MiB; or 0" });
  return z.NEVER;
});
export const size = (text: string, description: string) => octets.prefault(text).describe(description);
/** How long, and how much, a channel keeps of what is finished; without either, all of it. */
export const retention = z
  .strictObject({
    for: duration.optional().describe("Records that are finished and older than this lose keys and octets."),
    size: octets.optional().describe("Beyond this size in all, the oldest of those that are finished do."),
  })
  .prefault({})
  .describe("How long records are kept; without a value for good. What is queued, held or parked always stays.");
const dayMs = 86_400_000;
/** The same of what no record is made of. */
export const retentionAge = duration
  .refine((ms) => ms >= dayMs, "at least 1d: for a day its sender may repeat it, and is told as before")
  .optional();
export const retentionOfArrivals = (which: string) =>
  z
    .strictObject({
      for: retentionAge.describe(`What was ${which} and is older than this loses keys and octets.`),
      size: octets.optional().describe(`Beyond this size in all, the oldest of what was ${which} does.`),
    })
    .prefault({})
    .describe(
      `How long what was ${which} is kept; without a value for good. What came within a day stays: its sender may repeat it.`,
    );
export const timeZone = z.string().refine(isTimeZone, "a time zone is an IANA name, for example Asia/Taipei");
const timeOfDay = z
  .string()
  .regex(/^([01][0-9]|2[0-3]):[0-5][0-9]$/, "a time of day is HH:MM from 00:00 to 23:59, in quotes");
/** When a destination is sent to. */
export const window = z
  .strictObject({
    between: z
      .tuple([timeOfDay, timeOfDay])
      .refine(
        ([from, to]) => from !== to,
        "a window that ends when it begins is none; leave it out, or pause the system",
      )
      .describe("From the first time of day to the second, over midnight where that is earlier."),
    timeZone: timeZone.optional().describe("Time zone of both; the file's timeZone unless said."),
  })
  .optional()
  .describe(
    "Delivery window: outside it nothing is sent; what is due waits, and counts neither as failing nor as late.",
  );
/** Where something listens, ours or theirs. */
export const hostPort = z.string().transform((text, context) => {
  const [, bracketed, bare, port = ""] = /^(?:\[([\da-fA-F:.]+)\]|(.+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? bare;
  if (host && Number(port) <= 65_535) return { host, port: Number(port) };
  context.addIssue({ code: "custom", message: "an address is host:port, for example 127.0.0.1:2575 or [::1]:2575" });
  return z.NEVER;
});
/** EEC forms are written as numbers or as text. */
export const kinds = <T extends readonly [string, ...string[]]>(values: T) =>
  z.union([z.enum(values), z.number().transform(String).pipe(z.enum(values))]);
/** MDM takes every MDM, ORU^R01 that event alone. */
export const messageType = z
  .string()
  .regex(/^[A-Z]{3}(\^[A-Z0-9]{3})?$/, "a message type is MDM, or one event such as ORU^R01");
export const grade = z.enum(["reject", "hold", "warn", "skip"]);
export const aeTitle = z.string().regex(/^(?=.*[^ ])[ -[\]-~]{1,16}$/, "an AE title is 1 to 16 characters (PS3.5 6.2)");
/** A field of a message: segment, number, and component and subcomponent where wanted. */
export const messageField = z
  .string()
  .regex(fieldAddress, "a field is SEG-n, SEG-n.component or SEG-n.component.subcomponent");
