/** DICOM source: C-STORE and C-ECHO as SCP. Image octets go from the socket to `deliver` as they come, never re-encoded. */
import { BlockList, type Socket } from "node:net";
import { z } from "zod";
import { Fault } from "../../errors.ts";
import type { Source } from "../connector.ts";
import { listenOn, tlsOptions } from "../wire.ts";
import { serveAssociation } from "./serve.ts";

/** An association under way may finish its instance; the peer repeats what was not answered. */
const graceMs = 1_000;

const caller = z.object({
  aeTitle: z.string().optional().describe("Calling AE title."),
  address: z.string().optional().describe("IP address or CIDR range."),
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
  artimSeconds: z
    .number()
    .positive()
    .default(30)
    .describe("For the request to come, and for the peer to close (PS3.8 ARTIM)."),
  idleSeconds: z.number().positive().default(300).describe("An association may be silent this long."),
  tls: tlsOptions,
});
export type ScpOptions = z.output<typeof options>;

export const dicomSource: Source<typeof options> = {
  name: "dicom",
  summary: "DICOM instances by C-STORE; C-ECHO",
  options,
  example: "dicom: { listen: 127.0.0.1:11112, aeTitle: SEMRS_A, callers: [{ aeTitle: PACS_A }] }",
  listen: async (settings, deliver, context) => {
    const isWelcome = welcome(settings.callers);
    const serve = (socket: Socket, connections: number): void => {
      const isFull = () => connections > settings.maxAssociations;
      serveAssociation(socket, { settings, deliver, context, isWelcome, isFull });
    };
    return await listenOn({ ...settings, graceMs }, serve, context);
  },
};

/** Whether a calling AE title from an address may call. */
function welcome(callers: ScpOptions["callers"]): (aeTitle: string, address: string) => boolean {
  const rules = callers.map(({ aeTitle, address }) => ({
    aeTitle,
    list: address === undefined ? undefined : rangeOf(address),
  }));
  return (aeTitle, address) => {
    if (rules.length === 0) return true;
    const plain = address.replace(/^::ffff:/, "");
    const family = plain.includes(":") ? "ipv6" : "ipv4";
    return rules.some((rule) => (rule.aeTitle ?? aeTitle) === aeTitle && (rule.list?.check(plain, family) ?? true));
  };
}

function rangeOf(address: string): BlockList {
  const list = new BlockList();
  const [net = "", bits] = address.split("/");
  const family = net.includes(":") ? "ipv6" : "ipv4";
  try {
    if (bits === undefined) list.addAddress(net, family);
    else list.addSubnet(net, Number(bits), family);
  } catch (cause) {
    throw new Fault("CONFIG_INVALID", `callers: ${address} is no IP address or CIDR range`, { cause });
  }
  return list;
}
