/** The schema of channels: the keys of the outbound corridor or of the inbound one; the order of stations is code, not configuration. */
import { z } from "zod";
import { duration, grade, kinds, lasting, messageField, messageType, name, retention } from "./config-values.ts";

const rule = z
  .strictObject({
    field: messageField.optional().describe("Field of the message: PV1-2, MSH-4.1."),
    document: z
      .string()
      .regex(
        /^[@#\w:]+(\.[@#\w:]+){0,31}$/,
        "a path is names with dots, from ClinicalDocument, attributes as @name, extensions as sdtc:name",
      )
      .regex(/^(?!ClinicalDocument\b)/, "a path begins within ClinicalDocument, which it does not name: code.@code")
      .optional()
      .describe("Path in the document's JSON view: recordTarget.patientRole.id.@root."),
    is: z
      .array(z.string().max(256))
      .min(1)
      .max(256)
      .describe('Values, one of which is there; "" for a value that is not there.'),
  })
  .refine(({ field, document }) => (field === undefined) !== (document === undefined), "either field or document");

const step = z.union([
  z.strictObject({
    set: messageField.describe("Field that is written, in every segment and repetition of it."),
    to: z.string().max(4_096).describe("Its value; separators in it are escaped."),
  }),
  z.strictObject({
    map: messageField.describe("Field whose values are replaced."),
    values: z.record(z.string(), z.string()).describe("What each value becomes."),
    else: z.string().max(4_096).optional().describe("What any other value becomes; without it, it stays."),
  }),
  z.strictObject({
    lookup: messageField.describe("Field whose values are looked up."),
    in: z.string().min(1).describe("YAML file of value: value."),
    else: z.string().max(4_096).optional().describe("What a value becomes that is not in it; without it, it stays."),
  }),
  z.strictObject({
    use: z.string().min(1).describe("TypeScript module whose default export transforms the message."),
    ms: z.int().min(10).max(60_000).default(2_000).describe("How long it may take, milliseconds; then it is ended."),
  }),
]);
const transform = (what: string) => z.array(step).max(64).default([]).describe(what);

const outbound = z.strictObject({
  source: z.array(name).min(1).max(16).describe("Systems whose documents and instances this channel takes."),
  filter: z
    .strictObject({
      messages: z
        .array(messageType)
        .min(1)
        .max(32)
        .default(["MDM", "ORU^R01"])
        .describe("Message types: MDM, or one event such as ORU^R01."),
      documents: z
        .array(kinds(["113", "114", "115", "116", "121", "refers-to-study", "other"]))
        .min(1)
        .describe("EEC forms; refers-to-study: any document with a study; other: any other CDA."),
      processingId: z
        .literal("P")
        .default("P")
        .describe("MSH-11 taken: P production; what is for training (T) or debugging (D) is never sealed."),
      confidentiality: z
        .array(z.enum(["N", "R", "V"]))
        .min(1)
        .optional()
        .describe("confidentialityCode of documents that may leave; without it all, with it also none without a code."),
      keep: z.array(rule).max(64).default([]).describe("Taken only if every one of these holds."),
      drop: z.array(rule).max(64).default([]).describe("Not taken if one of these holds."),
    })
    .describe("What this channel takes."),
  transform: transform("Changes to the message for comparing patients; never to the document, nor to what is kept."),
  validate: z
    .strictObject({
      document: z
        .strictObject({
          rules: grade
            .default("reject")
            .describe("A rule of ruleSets is broken; the hard rules of CDA are refused whatever this says."),
          ruleSets: z
            .array(z.string().min(1))
            .max(16)
            .default([])
            .describe("Rule sets: cda-r2-header, eec-113, eec-114, eec-115, eec-116, eec-121, or the path of a file."),
          schema: grade.default("skip").describe("The document is not as the XML Schema says."),
          schemas: z
            .string()
            .min(1)
            .optional()
            .describe("Folder with the XML Schema of CDA; required unless schema is skip."),
          schematron: z
            .string()
            .min(1)
            .optional()
            .describe(
              "Folder with compiled Schematron (.sef.json, .xsl), graded as rules; saxon-js is to be installed.",
            ),
          patient: grade.default("reject").describe("PID-3 and the document name different patients."),
        })
        .prefault({})
        .describe("Documents."),
      study: z
        .strictObject({
          structure: z.literal("reject").default("reject").describe("Broken DICOM structure; always refused."),
          iod: grade
            .default("warn")
            .describe("Attributes of type 1 are missing, or lengths do not fit their value representation."),
          charset: grade
            .default("warn")
            .describe("The character set is unknown, or not declared where there are letters beyond ASCII."),
          patient: grade.default("hold").describe("The study's PatientID is none of the document's ids."),
        })
        .prefault({})
        .describe("Instances."),
    })
    .prefault({})
    .describe("Grades of what is checked."),
  assemble: z
    .strictObject({
      by: z
        .array(z.enum(["studyUid", "accessionNumber"]))
        .min(1)
        .default(["studyUid", "accessionNumber"])
        .describe("What joins a document and its study."),
      study: z
        .strictObject({
          when: z
            .literal("referenced")
            .default("referenced")
            .describe("A document waits for the study that it refers to."),
          quiet: lasting(
            "60s",
            "A study is complete this long after its last instance, and after the end of every association that sent to it.",
          ),
          open: lasting(
            "10m",
            "How long after its last instance an association that sent to a study, and stays open, keeps it open.",
          ),
          expect: name
            .optional()
            .describe(
              "System asked by C-FIND how many instances a study has; when all are here, quiet is not awaited.",
            ),
          pull: name
            .optional()
            .describe("System asked by C-MOVE to send a study, named by its UID, that does not come by itself."),
          pullAfter: lasting("5m", "How long to wait before the first such request; then twice as long each time."),
          wait: lasting("12h", "How long a document waits for a study that does not come."),
          // biome-ignore lint/suspicious/noThenProperty: a value of the configuration, never a function
          then: z.enum(["proceed", "hold"]).default("proceed").describe("What then: travel without images, or hold."),
        })
        .prefault({})
        .describe("Waiting for the study."),
      document: z
        .strictObject({
          wait: lasting("14d", "How long a study waits for a document."),
          // biome-ignore lint/suspicious/noThenProperty: a value of the configuration, never a function
          then: z.literal("hold").default("hold").describe("What then."),
        })
        .prefault({})
        .describe("Waiting for the document."),
      ignoreAccessionNumbers: z
        .array(z.string().min(1).max(64))
        .max(256)
        .default([])
        .describe(
          "Further values that mean there is no accession number, beside XXX, 0, UNKNOWN, NONE, N/A and the like; they join nothing.",
        ),
      late: z
        .enum(["addendum", "hold"])
        .default("addendum")
        .describe("Images that come after their document was sealed."),
    })
    .optional()
    .describe("Joins a document and its study; without it documents travel at once."),
  seal: z
    .strictObject({ profile: z.literal("semrs-2").default("semrs-2").describe("Envelope profile.") })
    .prefault({})
    .describe("How it is sealed."),
  route: z
    .array(z.string())
    .min(1)
    .max(32)
    .describe(
      "repository: the own one, registered; a partner's name: pushed to it; none: sealed and not sent (shadow).",
    ),
  because: z.string().min(1).optional().describe("Why nothing is sent, with route: [none]."),
  retention,
});

const inbound = z.strictObject({
  fetch: z
    .strictObject({
      when: z
        .array(
          z.union([
            z.strictObject({
              admission: name.describe("System whose ADT announces a patient."),
              messages: z
                .array(messageType)
                .min(1)
                .default(["ADT^A01", "ADT^A04", "ADT^A05"])
                .describe("Which of its messages."),
              again: z
                .array(duration)
                .max(16)
                .default([])
                .describe("When to ask again, for what is still being registered."),
              every: lasting(
                "12h",
                "A patient is asked for once in this time, however often the system announces them.",
              ),
            }),
            z.strictObject({ request: z.literal("api").describe("A program asks on the admin port.") }),
            z.strictObject({ push: z.array(name).min(1).describe("Partners that may send on their own account.") }),
          ]),
        )
        .min(1)
        .describe("What begins a fetch."),
      rules: z
        .array(
          z.strictObject({
            documents: z
              .array(kinds(["113", "114", "115", "116", "121", "other"]))
              .min(1)
              .describe("Which documents."),
            since: lasting("180d", "Registered within this time."),
            latest: z.int().min(1).max(1000).default(50).describe("At most so many, newest first."),
          }),
        )
        .describe("What is fetched; no rule, no fetch."),
      purpose: z.literal("TREAT").default("TREAT").describe("Purpose of use (HL7 v3 ActReason)."),
    })
    .describe("When and what is fetched."),
  open: z
    .strictObject({
      revocation: z.literal("require").default("require").describe("A revocation list must be at hand."),
      crlStale: lasting("24h", "How long after its nextUpdate a revocation list still counts."),
    })
    .prefault({})
    .describe("How envelopes are verified."),
  transform: transform("Changes to the messages that are delivered to the HIS; never to the document in them."),
  deliver: z
    .array(
      z.strictObject({
        to: name.describe("A system of this site."),
        as: z
          .strictObject({
            new: z.enum(["MDM^T02", "ORU^R01"]).default("MDM^T02").describe("A new document."),
            addendum: z.enum(["MDM^T06", "ORU^R01"]).default("MDM^T06").describe("An addendum."),
            replacement: z.enum(["MDM^T10", "ORU^R01"]).default("MDM^T10").describe("A replacement."),
            cancel: z.enum(["MDM^T11", "ORU^R01"]).default("MDM^T11").describe("A cancellation."),
          })
          .prefault({})
          .describe("Messages for documents."),
        identity: z
          .enum(["ours", "original"])
          .default("ours")
          .describe("Whose patient identity is delivered: ours, of the admission that asked, or the original."),
        authority: z
          .string()
          .min(1)
          .optional()
          .describe(
            "Assigning authority (PID-3.4) whose number becomes PatientID; else the one of type MR, else the first.",
          ),
        accession: z
          .enum(["empty", "keep"])
          .default("empty")
          .describe("With ours, what becomes of the other house's accession number where this house has none."),
        because: z.string().min(1).optional().describe("Why the original identity is delivered."),
      }),
    )
    .min(1)
    .describe("Where it is delivered."),
  retention,
});

export const channelSchemas = { outbound, inbound } as const;
