/** The schema of systems: how a HIS, a PACS or a folder of this site is spoken with. */
import { z } from "zod";
import { isRange } from "../connectors/dicom/access.ts";
import { dicomSource } from "../connectors/dicom/scp.ts";
import { dicomDestination } from "../connectors/dicom/scu.ts";
import { mllpDestination, mllpSource } from "../connectors/mllp/index.ts";
import { maxSeconds, seconds } from "../connectors/wire.ts";
import { charsetNamed } from "../formats/charset.ts";
import { aeTitle, hostPort, messageType, pause, window } from "./config-values.ts";

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

const reference = z.strictObject({
  prefix: z
    .string()
    .refine((text) => URL.canParse(text) && /^https?:\/\/[^?#]+\/$/.test(text), {
      message: "a prefix is an https: or http: address that ends with /",
    })
    .describe("Addresses that begin so are fetched, with the site's tls key; redirects are not followed."),
  trust: z
    .array(z.string().min(1))
    .max(16)
    .default([])
    .describe("PEM files of the authorities of this server; empty: those under trust.anchors."),
  maxBytes: z
    .int()
    .min(1024)
    .max(256 * 1024 * 1024)
    .default(64 * 1024 * 1024)
    .describe("Largest document fetched, octets."),
  clearText,
});

const mllp = z.strictObject({
  listen: hostPort.optional().describe("Where this site listens for the system's HL7 v2 messages."),
  connect: hostPort.optional().describe("Where the system listens for ours."),
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
  within: pause
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
  standby: z.array(hostPort).max(8).default([]).describe("Where else the system listens, asked in this order."),
  keepSeconds: z
    .number()
    .min(0)
    .max(maxSeconds)
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
  authority: z
    .string()
    .min(1)
    .optional()
    .describe("Whose its numbers are where PID-3.4 is empty: the first such in PID-3 or MRG-1 of type MR, PI or none."),
  references: z
    .array(reference)
    .max(16)
    .default([])
    .describe("Where documents may be fetched from that its messages only refer to; empty: they are refused."),
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
  listen: hostPort.optional().describe("Where this site listens for the system's associations."),
  connect: hostPort.optional().describe("Where the system listens for ours."),
  aeTitle: aeTitle.describe("Our own AE title, as listener and as caller."),
  calledAeTitle: aeTitle.optional().describe("The system's AE title; required with connect."),
  callers: z
    .array(
      z.strictObject({
        aeTitle: aeTitle.optional().describe("Its calling AE title."),
        address: z
          .string()
          .refine(isRange, "an address is an IP address, or a range such as 10.1.2.0/24")
          .optional()
          .describe("Its IP address or CIDR range."),
        subject: z
          .string()
          .min(1)
          .optional()
          .describe("Common name, or an alternative name, of its client certificate; needs tls."),
        commitmentTo: hostPort
          .optional()
          .describe("Where it listens for reports of storage commitment; else connect, if there is one."),
      }),
    )
    .max(256)
    .default([])
    .describe("Who may call; empty: anybody on this machine."),
  associations: z.int().min(1).max(16).default(1).describe("Associations at once when sending."),
  echoEvery: pause
    .optional()
    .describe("How often the system is asked by C-ECHO whether it answers; never where it is left out."),
  proof: z
    .enum(["response", "commitment", "count"])
    .default("response")
    .describe(
      "When a study counts as delivered: every C-STORE was answered; or its storage commitment says so; or the PACS names every instance by C-FIND.",
    ),
  proofSeconds: seconds
    .max(3600)
    .default(60)
    .describe("How long a report of storage commitment may take; then it is asked for again."),
  tls,
  clearText,
  ...dicomSource.options.pick({
    maxPdu: true,
    maxAssociations: true,
    artimSeconds: true,
    stallSeconds: true,
    idleSeconds: true,
    commitmentRetrySeconds: true,
  }).shape,
  ...dicomDestination.options.pick({ connectSeconds: true, responseSeconds: true }).shape,
});

const directory = z.strictObject({
  path: z.string().min(1).describe("Folder whose finished files are taken."),
  mediaType: z.enum(["application/hl7-v2", "application/dicom"]).describe("What the files are."),
  everySeconds: seconds.default(1).describe("How often to look."),
});

export const system = z.strictObject({
  mllp: mllp.optional().describe("HL7 v2 over MLLP."),
  dicom: dicom.optional().describe("DICOM: C-STORE, C-ECHO and storage commitment."),
  directory: directory.optional().describe("Files in a folder; moved to done/ or refused/."),
  window,
});

/** The connectors that a system can have, by their key. */
export const systemSchemas = { mllp, dicom, directory } as const;
