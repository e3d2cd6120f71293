/** The schema of channels.yaml: every key described, defaulted or required. Names (systems, partners, channels) are checked in config.ts. */
import { z } from "zod";
import { parseDuration } from "./duration.ts";

const name = z.string().regex(/^[a-z][a-z0-9-]{0,62}$/, "a name is lower-case letters, digits and hyphens");
const oid = z.string().regex(/^[0-2](\.(0|[1-9][0-9]*))+$/, "an OID is digits and dots");
const duration = z.string().transform((text, context) => {
  const ms = parseDuration(text);
  if (ms !== undefined) return ms;
  context.addIssue({ code: "custom", message: "a duration is a number and ms, s, m, h or d, for example 60s" });
  return z.NEVER;
});
/** A duration with a default, which is written as a person would. */
const lasting = (text: string, description: string) => duration.prefault(text).describe(description);
const listen = z.string().transform((text, context) => {
  const [, host = "", port = ""] = /^(.+):(\d{1,5})$/.exec(text) ?? [];
  if (host && Number(port) <= 65_535) return { host, port: Number(port) };
  context.addIssue({ code: "custom", message: "an address is host:port, for example 127.0.0.1:2575" });
  return z.NEVER;
});
/** EEC forms are written as numbers or as text. */
const kinds = <T extends readonly [string, ...string[]]>(values: T) =>
  z.preprocess((value) => (typeof value === "number" ? String(value) : value), z.enum(values));
const grade = z.enum(["reject", "hold", "warn", "skip"]);
const aeTitle = z.string().regex(/^(?=.*[^ ])[ -[\]-~]{1,16}$/, "an AE title is 1 to 16 characters (PS3.5 6.2)");
const clearText = z
  .string()
  .min(1)
  .optional()
  .describe("Why this listener or peer off this machine speaks without TLS; required where it does.");

const mllp = z.strictObject({
  listen: listen.optional().describe("Where this site listens for the system's HL7 v2 messages."),
  connect: listen.optional().describe("Where the system listens for ours."),
  charset: z
    .string()
    .default("from-msh-18")
    .describe("Character set of its messages: from-msh-18, or a WHATWG label such as big5."),
  answer: z
    .enum(["validated", "stored"])
    .default("validated")
    .describe("When AA is given: after the hard rules, or as soon as the message is durable."),
  maxBytes: z
    .int()
    .min(1024)
    .max(256 * 1024 * 1024)
    .default(64 * 1024 * 1024)
    .describe("Largest message accepted, octets."),
  refusals: z
    .strictObject({ AE: z.enum(["park", "retry"]).default("park"), AR: z.enum(["park", "retry"]).default("retry") })
    .prefault({})
    .describe("What a negative answer of this system means: park for a person, or retry."),
  clearText,
});

const dicom = z.strictObject({
  listen: listen.optional().describe("Where this site listens for the system's associations."),
  connect: listen.optional().describe("Where the system listens for ours."),
  aeTitle: aeTitle.describe("Our own AE title, as listener and as caller."),
  calledAeTitle: aeTitle.optional().describe("The system's AE title; required with connect."),
  callers: z
    .array(
      z.strictObject({
        aeTitle: aeTitle.optional().describe("Its calling AE title."),
        address: z.string().optional().describe("Its IP address or CIDR range."),
      }),
    )
    .max(256)
    .default([])
    .describe("Who may call; empty: anybody on this machine."),
  associations: z.int().min(1).max(16).default(1).describe("Associations at once when sending."),
  clearText,
});

const system = z.strictObject({
  mllp: mllp.optional().describe("HL7 v2 over MLLP."),
  dicom: dicom.optional().describe("DICOM: C-STORE and C-ECHO."),
});

const service = z.strictObject({
  listen: listen.describe("host:port of the REST service; always TLS with client certificates."),
});

const site = z.strictObject({
  data: z.string().min(1).describe("Data folder of the site; everything in it is sealed."),
  keys: z
    .string()
    .min(1)
    .optional()
    .describe("Folder of the site's own keys: sign, decrypt, tls (.key and .crt) and storage.key. Default: pki/SITE."),
  admin: z
    .strictObject({ listen: listen.describe("host:port on loopback.") })
    .describe("Admin port: metrics, health, journal."),
  repository: service.optional().describe("The house's repository."),
  registry: service.optional().describe("The registry center, at the one site that is it."),
  run: z
    .array(name)
    .max(64)
    .default([])
    .describe("The channels this site runs; a message goes to the first that takes it."),
  systems: z.record(name, system).default({}).describe("What stands in the house: HIS, RIS, PACS."),
});

const outbound = z.strictObject({
  source: z.array(name).min(1).max(16).describe("Systems whose documents and instances this channel takes."),
  filter: z
    .strictObject({
      messages: z
        .array(z.string().regex(/^[A-Z]{3}(\^[A-Z0-9]{3})?$/))
        .min(1)
        .max(32)
        .default(["MDM", "ORU^R01"])
        .describe("Message types: MDM, or one event such as ORU^R01."),
      documents: z
        .array(kinds(["113", "114", "115", "116", "121", "refers-to-study", "other"]))
        .min(1)
        .describe("EEC forms; refers-to-study: any document with a study; other: any other CDA."),
      processingId: z.enum(["P", "T", "D"]).default("P").describe("MSH-11 taken: P production."),
    })
    .describe("What this channel takes."),
  validate: z
    .strictObject({
      document: z
        .strictObject({
          rules: z.literal("reject").default("reject").describe("The hard rules of CDA; always on."),
          schema: z.literal("skip").default("skip").describe("XML Schema validation; not available yet."),
          patient: grade.default("reject").describe("PID-3 and the document name different patients."),
        })
        .prefault({})
        .describe("Documents."),
      study: z
        .strictObject({
          structure: z.literal("reject").default("reject").describe("Broken DICOM structure; always refused."),
          iod: z.enum(["warn", "skip"]).default("warn").describe("Findings about the information object."),
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
          quiet: lasting("60s", "A study is complete after this long without a new instance."),
          wait: lasting("12h", "How long a document waits for a study that does not come."),
          then: z.enum(["proceed", "hold"]).default("proceed").describe("What then: travel without images, or hold."),
        })
        .prefault({})
        .describe("Waiting for the study."),
      document: z
        .strictObject({
          wait: lasting("14d", "How long a study waits for a document."),
          then: z.literal("hold").default("hold").describe("What then."),
        })
        .prefault({})
        .describe("Waiting for the document."),
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
    .describe("repository: the own one, registered; a partner's name: pushed to it."),
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
                .array(z.string())
                .min(1)
                .default(["ADT^A01", "ADT^A04", "ADT^A05"])
                .describe("Which of its messages."),
              again: z
                .array(duration)
                .max(16)
                .default([])
                .describe("When to ask again, for what is still being registered."),
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
  deliver: z
    .array(
      z.strictObject({
        to: name.describe("A system of this site."),
        as: z
          .strictObject({
            new: z.literal("MDM^T02").default("MDM^T02").describe("A new document."),
            addendum: z.literal("MDM^T06").default("MDM^T06").describe("An addendum."),
            replacement: z.literal("MDM^T10").default("MDM^T10").describe("A replacement."),
            cancel: z.literal("MDM^T11").default("MDM^T11").describe("A cancellation; not carried yet."),
          })
          .prefault({})
          .describe("Messages for documents."),
        identity: z
          .enum(["ours", "original"])
          .default("ours")
          .describe("Whose patient identity is delivered; ours is not available yet."),
        because: z.string().min(1).optional().describe("Why the original identity is delivered."),
      }),
    )
    .min(1)
    .describe("Where it is delivered."),
});

export const channelSchemas = { outbound, inbound } as const;

export const schema = z.strictObject({
  site: name.describe("Which of the sites below this process is."),
  timeZone: z.string().default("Asia/Taipei").describe("Time zone of the house's HL7 times."),
  identifiers: z
    .record(
      name,
      z.strictObject({
        roots: z.array(oid).min(1).describe("OIDs."),
        authorities: z.array(z.string().min(1)).default([]).describe("Names in PID-3.4."),
      }),
    )
    .default({})
    .describe("How one patient is named on different wires."),
  trust: z
    .strictObject({
      anchors: z.array(z.string()).min(1).default(["pki/ca.crt"]).describe("PEM files of the trusted CAs."),
      crls: z.array(z.string()).default(["pki/ca.crl"]).describe("PEM files of their revocation lists."),
    })
    .prefault({})
    .describe("Whom certificates must lead to."),
  partners: z
    .record(
      name,
      z.strictObject({
        url: z
          .string()
          .regex(/^https:\/\/[^/]+$/, "an URL is https://host:port")
          .describe("Where its REST service is."),
        certificates: z.string().min(1).describe("Folder with its sign.crt, decrypt.crt and tls.crt."),
        profiles: z
          .array(z.enum(["semrs-2", "smime-4"]))
          .min(1)
          .default(["semrs-2"])
          .describe("Envelope profiles it may use."),
      }),
    )
    .default({})
    .describe("Whom we seal for, whose signatures we accept."),
  registryPartner: name.default("registry").describe("The partner that is the registry center."),
  sites: z.record(name, site).describe("The houses; each process is one."),
  delivery: z
    .strictObject({
      retry: z
        .strictObject({
          first: lasting("1s", "Pause after the first failure; it doubles."),
          max: lasting("5m", "Longest pause."),
          for: lasting("14d", "After this long a person decides."),
        })
        .prefault({})
        .describe("Attempts."),
      order: z
        .enum(["patient", "none"])
        .default("patient")
        .describe("Deliveries of one patient to one system keep their order."),
    })
    .prefault({})
    .describe("How deliveries are repeated."),
  channels: z.record(name, z.unknown()).default({}).describe("The channels: outbound (source …) or inbound (fetch …)."),
});
