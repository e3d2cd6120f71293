/** The schema of channels.yaml: every key described, defaulted or required. Names (systems, partners, channels) are checked in config.ts. */
import { z } from "zod";
import { dicomSource } from "../connectors/dicom/scp.ts";
import { dicomDestination } from "../connectors/dicom/scu.ts";
import { mllpDestination, mllpSource } from "../connectors/mllp/index.ts";
import { charsetNamed } from "../formats/charset.ts";
import { aeTitle, duration, lasting, listen, messageType, name, oid, size } from "./config-values.ts";

const clearText = z
  .string()
  .min(1)
  .optional()
  .describe("Why this listener or peer off this machine speaks without TLS; required where it does.");

const tls = z
  .strictObject({
    clientCertificate: z
      .enum(["require", "none"])
      .default("require")
      .describe("Whether callers must show a certificate; ours is always shown."),
    trust: z
      .array(z.string().min(1))
      .max(16)
      .default([])
      .describe("PEM files of the authorities of this system; empty: those under trust.anchors."),
    serverName: z.string().min(1).optional().describe("Name in the system's certificate, where it is not its host."),
  })
  .optional()
  .describe("TLS 1.2 with AEAD suites or 1.3, with the site's tls key; tls: {} is enough.");

const isTimeZone = (name: string): boolean => {
  try {
    return new Intl.DateTimeFormat("en", { timeZone: name }) !== undefined;
  } catch {
    return false;
  }
};

const mllp = z.strictObject({
  listen: listen.optional().describe("Where this site listens for the system's HL7 v2 messages."),
  connect: listen.optional().describe("Where the system listens for ours."),
  charset: z
    .string()
    .default("from-msh-18")
    .refine((value) => value === "from-msh-18" || charsetNamed(value) !== undefined, {
      message: "a charset is from-msh-18, or a name such as big5, gb18030, iso-8859-1 or shift_jis",
    })
    .describe("Character set of its messages, and of ours to it: a name such as big5; from-msh-18 writes UTF-8."),
  answer: z
    .enum(["validated", "stored"])
    .default("validated")
    .describe("When AA is given: after the hard rules, or as soon as the message is durable."),
  within: duration
    .optional()
    .describe("With answer: validated, AA is given after this long at the latest; what is found later is quarantined."),
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
  standby: z.array(listen).max(8).default([]).describe("Where else the system listens, asked in this order."),
  keepSeconds: z
    .number()
    .min(0)
    .default(60)
    .describe("A connection is kept open so long for the next message; 0: one connection a message."),
  ambiguous: z
    .enum(["retry", "hold"])
    .default("retry")
    .describe("When no answer came: send again under the same MSH-10, or park for a person who asks the system."),
  sends: z
    .array(messageType)
    .max(64)
    .default([])
    .describe("Messages that the system sends, as its vendor says; semrs check names those that no channel takes."),
  authorities: z
    .array(z.string().min(1))
    .max(64)
    .default([])
    .describe("Assigning authorities in its PID-3.4; semrs check names those that identifiers leaves out."),
  tls,
  clearText,
  ...mllpSource.options.pick({
    maxConnections: true,
    maxPerAddress: true,
    maxHeldBytes: true,
    frameSeconds: true,
    idleSeconds: true,
    release: true,
  }).shape,
  ...mllpDestination.options.pick({ connectSeconds: true, responseSeconds: true, connections: true, awaits: true })
    .shape,
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
        subject: z
          .string()
          .min(1)
          .optional()
          .describe("Common name, or an alternative name, of its client certificate; needs tls."),
        commitmentTo: listen
          .optional()
          .describe("Where it listens for reports of storage commitment; else connect, if there is one."),
      }),
    )
    .max(256)
    .default([])
    .describe("Who may call; empty: anybody on this machine."),
  associations: z.int().min(1).max(16).default(1).describe("Associations at once when sending."),
  echoEvery: duration
    .optional()
    .describe("How often the system is asked by C-ECHO whether it answers; never where it is left out."),
  proof: z
    .enum(["response", "commitment", "count"])
    .default("response")
    .describe(
      "When a study counts as delivered: every C-STORE was answered; or its storage commitment says so; or the PACS names every instance by C-FIND.",
    ),
  proofSeconds: z
    .number()
    .positive()
    .max(3600)
    .default(60)
    .describe("How long a report of storage commitment may take; then it is asked for again."),
  tls,
  clearText,
  ...dicomSource.options.pick({
    maxPdu: true,
    maxAssociations: true,
    artimSeconds: true,
    idleSeconds: true,
    commitmentRetrySeconds: true,
  }).shape,
  ...dicomDestination.options.pick({ connectSeconds: true, responseSeconds: true }).shape,
});

const directory = z.strictObject({
  path: z.string().min(1).describe("Folder whose finished files are taken."),
  mediaType: z.enum(["application/hl7-v2", "application/dicom"]).describe("What the files are."),
  everySeconds: z.number().positive().default(1).describe("How often to look."),
});

const system = z.strictObject({
  mllp: mllp.optional().describe("HL7 v2 over MLLP."),
  dicom: dicom.optional().describe("DICOM: C-STORE, C-ECHO and storage commitment."),
  directory: directory.optional().describe("Files in a folder; moved to done/ or refused/."),
});

/** The connectors that a system can have, by their key. */
export const systemSchemas = { mllp, dicom, directory } as const;

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
  disk: z
    .strictObject({
      minFree: size(
        "64MiB",
        "The disk reserve: with less free space nothing is accepted; what is queued still drains.",
      ),
      ballast: size(
        "16MiB",
        "A file that is given up when others have filled the reserve, so that draining goes on; 0: none.",
      ),
    })
    .prefault({})
    .describe("Free space on the disk of the data folder."),
  limits: z
    .strictObject({
      held: size(
        "512MiB",
        "Octets of messages and instances that all connections together may hold before they are on the disk; beyond it one reads on at a time.",
      ),
      connections: z
        .int()
        .min(1)
        .max(65_535)
        .default(1024)
        .describe("Connections of all systems together; beyond it a new one is told to come again."),
    })
    .prefault({})
    .describe("Limits over all listeners of the house, beside those of each."),
  repository: service.optional().describe("The house's repository."),
  registry: service.optional().describe("The registry center, at the one site that is it."),
  run: z
    .array(name)
    .max(64)
    .default([])
    .describe("The channels this site runs; a message goes to the first that takes it."),
  systems: z.record(name, system).default({}).describe("What stands in the house: HIS, RIS, PACS."),
});

export const schema = z.strictObject({
  site: name.describe("Which of the sites below this process is."),
  timeZone: z
    .string()
    .default("Asia/Taipei")
    .refine(isTimeZone, "a time zone is an IANA name, for example Asia/Taipei")
    .describe("Time zone in which our HL7 messages are written."),
  identifiers: z
    .record(
      name,
      z.strictObject({
        roots: z.array(oid).min(1).describe("OIDs."),
        authorities: z.array(z.string().min(1)).default([]).describe("Names in PID-3.4."),
        owner: name
          .optional()
          .describe(
            "The partner that gives these ids, and alone may merge two of them at the registry; without it nobody.",
          ),
      }),
    )
    .default({})
    .describe("How one patient is named on different wires."),
  trust: z
    .strictObject({
      anchors: z.array(z.string()).min(1).default(["pki/ca.crt"]).describe("PEM files of the trusted CAs."),
      crls: z
        .array(z.string().min(1))
        .default(["pki/ca.crl"])
        .describe("Their revocation lists: PEM files, or http: and https: addresses (PEM or DER)."),
      renew: lasting("10m", "How often the lists are looked at again."),
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
          .describe(
            "Envelope profiles it may use; we seal for it in the first. Only semrs-2 hands records on: an smime-4 partner pushes and is pushed to.",
          ),
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
