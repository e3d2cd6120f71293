/** The schema of one partner: whom we seal for, whose signatures we accept. */
import { z } from "zod";
import { keyTransports } from "../envelope/index.ts";
import { lasting, name, window } from "./config-values.ts";

export const partner = z.strictObject({
  url: z
    .string()
    .regex(/^https:\/\/[^/]+$/, "an URL is https://host:port")
    .describe("Where its REST service is."),
  name: z.string().min(1).max(256).optional().describe("Its name as people write it, for the directory."),
  certificates: z.string().min(1).describe("Folder with its sign.crt, decrypt.crt and tls.crt."),
  silence: lasting(
    "60s",
    "A connection to it that is silent for so long is given up, after a large request up to two minutes later; what was sent is asked for again.",
  ),
  profiles: z
    .array(z.enum(["semrs-2", "smime-4", "semrs-2017"]))
    .min(1)
    .default(["semrs-2"])
    .describe(
      "Envelope profiles it may use; we seal for it in the first. Only semrs-2 hands records on: an smime-4 partner pushes and is pushed to. semrs-2017 stands alone.",
    ),
  allowLegacy: z.boolean().default(false).describe("Required beside semrs-2017: nobody signs its headers and images."),
  relays: z
    .array(name)
    .max(64)
    .default([])
    .describe(
      "Partners that may hand on what this one has authored; its own signature is verified all the same. What they have of ours, it may prove to have received.",
    ),
  transport: z
    .enum(keyTransports)
    .default("rsa-oaep")
    .describe("semrs-2017: how the one-time key is wrapped, both ways."),
  window,
});
