/** Instances out: from sealed blobs to storescp by ours, from clear files by storescu; and to a PACS that answers late. */
import { execFile, fork } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { promisify } from "node:util";
import { ports } from "../../commands/demo/ports.ts";
import { initPki } from "../../commands/pki/index.ts";
import { readRequest, writeAccept } from "../../connectors/dicom/association.ts";
import { commands, element, noDataSet, numberOf, readCommand, writeCommand } from "../../connectors/dicom/dimse.ts";
import { dataHead, openPduReader, pduTypes, releaseRp } from "../../connectors/dicom/pdu.ts";
import type { Done, Side, Workload } from "../harness.ts";
import { ctInstances } from "../load.ts";
import { fresh, missing, startPeer } from "../subjects.ts";
import type { Order, Told } from "./dicom-send-child.ts";

const units = 200;
const quick = 60;
const lateMs = 45;
/** Of 22.2 a second that one association could have at best. */
const lateRate = 19;
const unit = "instances/s";

export const dicomSend = (): readonly Workload[] => [
  ...([1, 4] as const).map(
    (associations): Workload => ({
      name: `C-STORE out to storescp, CT of 525 kB, ${of(associations)}`,
      unit,
      target: { rate: 400 },
      units,
      quick,
      ours: ours(associations, () => storescp()),
      ...(associations === 1 ? { peers: [storescu] } : { peers: [] }),
    }),
  ),
  {
    name: "C-STORE out to storescp over TLS, CT of 525 kB, 1 association",
    unit,
    target: { ratio: 0.6 },
    units,
    quick,
    ours: ours(1, securedStorescp),
    peers: [{ ...ours(1, () => storescp()), name: "semrs in clear" }],
  },
  ...([1, 4] as const).map(
    (associations): Workload => ({
      name: `C-STORE out to a PACS that answers ${lateMs} ms late, ${of(associations)}`,
      unit,
      target: { rate: associations * lateRate },
      units: 40 * associations,
      quick: 20 * associations,
      ours: ours(associations, latePacs),
      peers: [],
    }),
  ),
];

const of = (associations: number): string => `${associations} ${associations === 1 ? "association" : "associations"}`;

/** A receiver: where it listens, and how many instances it holds since it was emptied. */
type Receiver = { readonly port: number; readonly pki?: string; held(): number; empty(): void; stop(): Promise<void> };

const ours = (associations: number, open: () => Promise<Receiver | { readonly missing: string }>): Side => ({
  name: "semrs",
  remark: "from sealed blobs",
  start: async () => {
    const receiver = await open();
    if ("missing" in receiver) return receiver;
    const folder = fresh("send");
    const child = fork(join(import.meta.dirname, "dicom-send-child.ts"), [folder, String(units)], { stdio: "inherit" });
    await once(child, "message");
    return {
      run: async (count): Promise<Done> => {
        const { port, pki } = receiver;
        const order: Order = { port, calledAeTitle: "PEER", associations, units: count, ...(pki && { pki }) };
        receiver.empty();
        const answered = once(child, "message");
        child.send(order);
        const [{ delivered, ...done }] = (await answered) as [Told];
        if (delivered !== count || receiver.held() !== count)
          throw new Error(`${delivered} delivered, ${receiver.held()} held of ${count}`);
        return { units: count, ...done };
      },
      stop: async () => {
        const ended = once(child, "exit");
        child.disconnect();
        await ended;
        await receiver.stop();
        rmSync(folder, { recursive: true });
      },
    };
  },
});

/** The same UIDs come again and again: what it holds of the run before is removed. */
async function storescp(pki?: string): Promise<Receiver | { readonly missing: string }> {
  const reason = missing("storescp");
  if (reason) return { missing: reason };
  const folder = fresh("storescp");
  const { PEER = "" } = await ports(["PEER"]);
  const { stop } = await startPeer(
    "storescp",
    ["--fork", "+B", "-pdu", "131072", "-aet", "PEER", "-od", folder, ...(pki ? secured(pki) : []), PEER],
    Number(PEER),
  );
  return {
    port: Number(PEER),
    ...(pki && { pki }),
    held: () => readdirSync(folder).length,
    empty: () => {
      for (const name of readdirSync(folder)) rmSync(join(folder, name));
    },
    stop: async () => {
      await stop();
      rmSync(folder, { recursive: true });
    },
  };
}

const secured = (pki: string): readonly string[] => [
  ...["+tls", join(pki, "peer", "tls.key"), join(pki, "peer", "tls.crt")],
  ...["+cf", join(pki, "ca.crt")],
];

async function securedStorescp(): Promise<Receiver | { readonly missing: string }> {
  const pki = fresh("pki");
  await initPki(pki, ["peer", "semrs"], { now: new Date() });
  return await storescp(pki);
}

/** It reads all and answers each instance late, as a PACS behind Nagle and delayed acknowledgements does. */
async function latePacs(): Promise<Receiver> {
  let held = 0;
  const server = createServer({ noDelay: true }, (socket) => {
    let command: Buffer[] = [];
    const read = openPduReader(2 ** 24, {
      control: (type, body) => {
        if (type === pduTypes.releaseRq) socket.end(releaseRp);
        if (type !== pduTypes.associateRq) return;
        const request = readRequest(body);
        const accepted = request.contexts.map((each) => ({
          ...each,
          result: 0 as const,
          transferSyntax: each.transferSyntaxes[0] ?? "",
        }));
        socket.write(writeAccept(request, accepted, 131_072));
      },
      fragment: ({ contextId, isCommand, isLast, bytes }) => {
        if (isCommand) command.push(Buffer.from(bytes));
        if (isCommand || !isLast) return;
        const set = readCommand(Buffer.concat(command));
        command = [];
        held += 1;
        const response = writeCommand([
          [element.commandField, commands.storeRsp],
          [element.respondedTo, numberOf(set, element.messageId)],
          [element.dataSetType, noDataSet],
          [element.status, 0],
        ]);
        setTimeout(
          () => socket.write(Buffer.concat([dataHead(contextId, true, true, response.length), response])),
          lateMs,
        );
      },
    });
    socket.on("data", read).on("error", () => undefined);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    held: () => held,
    empty: () => {
      held = 0;
    },
    stop: async () => void server.close(),
  };
}

/** DCMTK's own, from clear files. */
const storescu: Side = {
  name: "storescu",
  remark: "from clear files",
  start: async () => {
    const reason = missing("storescu");
    if (reason) return { missing: reason };
    const receiver = await storescp();
    if ("missing" in receiver) return receiver;
    const folder = fresh("storescu");
    mkdirSync(folder, { recursive: true });
    const files: string[] = [];
    for (const item of ctInstances(units)) {
      const file = join(folder, `${item.controlId}.dcm`);
      const pieces: Uint8Array[] = [];
      for await (const piece of item.body()) pieces.push(piece);
      writeFileSync(file, Buffer.concat(pieces));
      files.push(file);
    }
    return {
      run: async (count) => {
        receiver.empty();
        const args = ["-pdu", "131072", "-aec", "PEER", "127.0.0.1", String(receiver.port), ...files.slice(0, count)];
        const started = performance.now();
        await promisify(execFile)("storescu", args, { env: { ...process.env, TCP_NODELAY: "1" } });
        const seconds = (performance.now() - started) / 1000;
        if (receiver.held() !== count) throw new Error(`${receiver.held()} of ${count} instances held`);
        return { units: count, seconds, cpuMs: Number.NaN };
      },
      stop: async () => {
        await receiver.stop();
        rmSync(folder, { recursive: true });
      },
    };
  },
};
