/** The schema of channels.yaml: every key described, defaulted or required. Names (systems, partners, channels) are checked in config.ts. */
import { z } from "zod";
import { purposesOfUse } from "../formats/query.ts";
import { alerts } from "./config-alerts.ts";
import { partner } from "./config-partner.ts";
import { system } from "./config-systems.ts";
import {
  hostPort,
  kinds,
  lasting,
  name,
  oid,
  pausing,
  retentionAge,
  retentionOfArrivals,
  size,
  timeZone,
} from "./config-values.ts";

const service = z.strictObject({
  listen: hostPort.describe("host:port of the REST service; always TLS with client certificates."),
});

const audit = z
  .strictObject({
    years: z
      .int()
      .min(1)
      .max(100)
      .optional()
      .describe(
        "Entries of the audit log that are older go, up to a checkpoint; an anchor stays that proves the rest.",
      ),
  })
  .prefault({})
  .describe("How long the audit log is kept; without a value for good.");

const site = z.strictObject({
  data: z.string().min(1).describe("Data folder of the site; everything in it is sealed."),
  formerly: name
    .optional()
    .describe("How the house was called before: its data folder, which is of that name, goes on under the new one."),
  keys: z
    .string()
    .min(1)
    .optional()
    .describe("Folder of the site's own keys: sign, decrypt, tls (.key and .crt) and storage.key. Default: pki/SITE."),
  admin: z
    .strictObject({ listen: hostPort.describe("host:port on loopback.") })
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
  alerts,
  retention: z
    .strictObject({
      refused: retentionOfArrivals("refused"),
      filtered: retentionOfArrivals("filtered"),
      done: z
        .strictObject({
          for: retentionAge.describe(
            "What was taken and left neither a document nor an instance, such as an admission, and is older than this loses keys and octets; so does what the registry was asked for.",
          ),
        })
        .prefault({})
        .describe(
          "How long messages are kept that did what they were for: admissions, merges, cancellations, and the queries they led to; without a value for good.",
        ),
      discarded: z
        .strictObject({
          for: retentionAge.describe(
            "A document or instance that came longer ago than this and was discarded loses keys and octets, with the message it came in.",
          ),
        })
        .prefault({})
        .describe(
          "How long documents and instances are kept that ended without a record: discarded by a person, cancelled, rejected or replaced; without a value for good.",
        ),
      audit,
    })
    .prefault({})
    .describe("Retention of what no record is made of, and of the audit log; that of records is their channel's."),
  limits: z
    .strictObject({
      held: size(
        "512MiB",
        "Octets of messages, instances and envelopes that all connections together may hold before they are on the disk; beyond it one reads on at a time.",
      ),
      instance: size(
        "64GiB",
        "The largest instance that is taken, octets; a larger one is refused with A700, and not kept.",
      ),
      connections: z
        .int()
        .min(1)
        .max(65_535)
        .default(1024)
        .describe("Connections of all systems and partners together; beyond it a new one is told to come again."),
      connectionsOfOne: z
        .int()
        .min(1)
        .max(65_535)
        .default(64)
        .describe("Connections of one partner, among them; beyond it a new one of it is told to come again."),
    })
    .prefault({})
    .describe("Limits over all listeners of the house, beside those of each."),
  repository: service.optional().describe("The house's repository."),
  registry: service
    .extend({
      access: z
        .array(
          z.strictObject({
            orgs: z.array(name).min(1).optional().describe("These partners; all of them unless said."),
            forms: z
              .array(kinds(["113", "114", "115", "116", "121", "other"]))
              .min(1)
              .optional()
              .describe("Entries of these EEC forms, `other` for documents of none; all unless said."),
            purposes: z
              .array(z.enum(purposesOfUse))
              .min(1)
              .default(["TREAT", "ETREAT"])
              .describe("Purposes of use (HL7 ActReason) for which they may ask; ETREAT is an emergency."),
          }),
        )
        .min(1)
        .default([{ purposes: ["TREAT", "ETREAT"] }])
        .describe("Who is told of which entries: what no rule allows is not shown. A house is always told of its own."),
    })
    .optional()
    .describe("The registry center, at the one site that is it."),
  run: z
    .array(name)
    .max(64)
    .default([])
    .describe("The channels this site runs; a message goes to the first that takes it."),
  systems: z.record(name, system).default({}).describe("What stands in the house: HIS, RIS, PACS."),
});

export const schema = z.strictObject({
  site: name.describe("Which of the sites below this process is."),
  timeZone: timeZone
    .default("Asia/Taipei")
    .describe("Time zone in which our HL7 messages are written, and of delivery windows."),
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
  partners: z.record(name, partner).default({}).describe("Whom we seal for, whose signatures we accept."),
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
      recall: pausing(
        "1h",
        "How often the registry is asked whether it still has what it has signed; what it has lost is registered again.",
      ),
      order: z
        .enum(["patient", "none"])
        .default("patient")
        .describe(
          "What keeps its order on its way to one system: deliveries of one patient, or (none) of one document and its corrections.",
        ),
    })
    .prefault({})
    .describe("How deliveries are repeated."),
  channels: z.record(name, z.unknown()).default({}).describe("The channels: outbound (source …) or inbound (fetch …)."),
});

/** What channels.yaml says, and of it one of the sites, and a system of one. */
export type File = z.output<typeof schema>;
export type House = File["sites"][string];
export type System = House["systems"][string];
