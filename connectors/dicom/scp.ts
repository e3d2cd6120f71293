/** DICOM source: C-STORE, C-ECHO and storage commitment as SCP. Image octets go from the socket to `deliver` as they come, never re-encoded. */
import type { Socket } from "node:net";
import { z } from "zod";
import type { Source } from "../connector.ts";
import { type Count, listenOn, seconds, tlsOptions } from "../wire.ts";
import { openAccess } from "./access.ts";
import { openCommitments } from "./commitment-owed.ts";
import { openBudget } from "./flow.ts";
import { serveAssociation } from "./serve.ts";

/** An association under way may finish its instance; the peer repeats what was not answered. */
const graceMs = 1_000;

/** Octets of instances that may wait for the disk, over all associations of a listener. */
const maxWaitingBytes = 64 * 1024 * 1024;

const place = z.object({ host: z.string().describe("Host."), port: z.int().min(1).max(65_535).describe("Port.") });
const caller = z.object({
  aeTitle: z.string().optional().describe("Calling AE title."),
  address: z.string().optional().describe("IP address or CIDR range."),
  subject: z.string().optional().describe("Common name, or an alternative name, of its client certificate."),
  commitmentTo: place.optional().describe("Where it listens for reports of storage commitment."),
});

const options = z.object({
  host: z.string().default("127.0.0.1").describe("Address to listen on."),
  port: z.int().min(0).max(65_535).describe("Port; 0 chooses a free one."),
  aeTitle: z.string().describe("Our AE title: what callers must call."),
  callers: z.array(caller).default([]).describe("Who may call; empty: anybody."),
  maxPdu: z
    .int()
    .min(4096)
    .max(1024 * 1024)
    .default(131_072)
    .describe("Largest P-DATA announced, octets."),
  maxAssociations: z.int().min(1).default(64).describe("Associations at once."),
  artimSeconds: seconds.default(10).describe("For the request to come, and for the peer to close (PS3.8 ARTIM)."),
  stallSeconds: seconds.default(10).describe("Within a PDU or a message the peer may be silent this long."),
  idleSeconds: seconds.default(300).describe("An association may be silent this long."),
  commitmentTo: place
    .optional()
    .describe("Where reports of storage commitment go that cannot go on their association, if callers do not say."),
  commitmentRetrySeconds: seconds
    .default(10)
    .describe("Pause before a report of storage commitment is repeated; it doubles."),
  tls: tlsOptions,
});
export type ScpOptions = z.output<typeof options>;

export const dicomSource: Source<typeof options> = {
  name: "dicom",
  summary: "DICOM instances by C-STORE; C-ECHO; storage commitment",
  options,
  example: "dicom: { listen: 127.0.0.1:11112, aeTitle: SEMRS_A, callers: [{ aeTitle: PACS_A }] }",
  listen: async (settings, deliver, context) => {
    const acceptor = {
      settings,
      deliver,
      context,
      admit: openAccess(settings.callers),
      budget: openBudget(maxWaitingBytes, context.held),
      commitments: openCommitments(settings, context),
    };
    const serve = (socket: Socket, count: Count): void => {
      // Asked when it asks for an association: until then it takes no place.
      const isFull = () => count() > settings.maxAssociations;
      serveAssociation(socket, { ...acceptor, isFull });
    };
    return await listenOn({ ...settings, graceMs }, serve, context);
  },
};
