/** DICOM destination: C-STORE and C-ECHO as SCU. One presentation context a (SOP class, stored transfer syntax), nothing transcoded. */
import { z } from "zod";
import { Fault } from "../../errors.ts";
import type { Context, Destination } from "../connector.ts";
import { seconds, tlsOptions } from "../wire.ts";
import { explicitLittle, implicitLittle, verificationClass } from "./association.ts";
import { echoCommand, openAssociation } from "./requestor.ts";
import { type DicomItem, groupsOf, sendGroup } from "./store.ts";

export { type DicomItem, maxFullInARow } from "./store.ts";

const maxItems = 25_000;

const options = z.object({
  host: z.string().describe("Where the PACS listens."),
  port: z.int().min(1).max(65_535).describe("Its port."),
  callingAeTitle: z.string().describe("Our AE title."),
  calledAeTitle: z.string().describe("Its AE title."),
  associations: z.int().min(1).max(16).default(1).describe("Associations at once."),
  maxPdu: z
    .int()
    .min(4096)
    .default(131_072)
    .describe("Largest P-DATA that we take, octets; what we send is as large as the PACS takes."),
  connectSeconds: seconds.default(10).describe("To connect and associate within."),
  responseSeconds: seconds.default(60).describe("To answer an instance within."),
  ourPort: z.int().optional().describe("Where we listen ourselves, for the PACS's administrator."),
  tls: tlsOptions,
});
export type ScuOptions = z.output<typeof options>;

export const dicomDestination: Destination<typeof options> = {
  name: "dicom",
  summary: "DICOM instances by C-STORE",
  options,
  example: "dicom: { connect: 127.0.0.1:11113, aeTitle: SEMRS_B, calledAeTitle: PACS_B, associations: 4 }",
  send: async (settings, items, report, context) => {
    const all: DicomItem[] = [];
    for await (const item of items) {
      if (all.length >= maxItems) throw new Fault("TOO_LARGE", `more than ${maxItems} instances at once`);
      all.push(item as DicomItem);
    }
    for (const group of groupsOf(all)) await sendGroup(settings, group, report, context.signal);
  },
};

/** C-ECHO: resolves when the peer answers Success. */
export async function echo(settings: ScuOptions, { signal }: Context): Promise<void> {
  const contexts = [{ id: 1, abstractSyntax: verificationClass, transferSyntaxes: [explicitLittle, implicitLittle] }];
  const association = await openAssociation(settings, contexts, signal);
  const asked = association.isAccepted(1) ? association.request(1, echoCommand(1, verificationClass)) : 0x0122;
  const status = await Promise.resolve(asked).catch((thrown: unknown) => {
    association.abort();
    throw thrown;
  });
  await association.release();
  if (status !== 0) throw new Fault("PEER_REFUSED", `the peer answered C-ECHO with status ${status.toString(16)}`);
}
