/** The part of channels.yaml about alerts. */
import { z } from "zod";
import { hostPort, lasting, pausing } from "./config-values.ts";

const pem = z.string().min(1).describe("Authority of that server, PEM file; beside channels.yaml unless absolute.");

export const alerts = z
  .strictObject({
    every: pausing("15s", "How often it is looked."),
    queueAge: lasting("15m", "A delivery that is due waits for longer than this."),
    heldAge: lasting("4h", "Something held or parked waits for a person for longer than this."),
    emergencyAge: lasting(
      "3d",
      "At the registry: an access in an emergency has not been reviewed for longer than this.",
    ),
    silent: z
      .boolean()
      .default(true)
      .describe("A system that sends has been silent two hours longer than ever in the week before."),
    syslog: z
      .array(z.strictObject({ to: hostPort.describe("host:port, TLS (RFC 5425)."), ca: pem.optional() }))
      .max(8)
      .default([])
      .describe(
        "Syslog servers that are told; the site's own TLS certificate is shown. Authority: the site's own unless said.",
      ),
    webhooks: z
      .array(
        z.strictObject({
          url: z
            .url({ protocol: /^https$/ })
            .max(2048)
            .describe("https: address that gets a POST of JSON, without anything of a patient."),
          ca: pem.optional(),
          token: z.string().min(1).optional().describe("File with what is sent as Authorization: Bearer."),
        }),
      )
      .max(8)
      .default([])
      .describe("Addresses that are told."),
  })
  .optional()
  .describe("Who is told when something needs a person: each alert once when it begins and once when it is over.");
export type AlertsConfig = NonNullable<z.output<typeof alerts>>;
