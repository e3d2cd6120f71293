/** An MLLP listener of ours that decides as a test says, and a plain socket that talks to it. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach } from "vitest";
import type { Deliver, HeldBudget, Running } from "../../connectors/connector.ts";
import { frameOf } from "../../connectors/mllp/framer.ts";
import { mllpSource } from "../../connectors/mllp/index.ts";
import { Fault } from "../../errors.ts";

export const stops: (() => unknown)[] = [];
/** For the tests of the file that calls this. */
export function stopAfterEach(): void {
  afterEach(async () => {
    for (const stop of stops.splice(0).reverse()) await stop();
  });
}

export type Listening = { readonly port: number; readonly log: string[]; readonly source: Running };
export async function listening(deliver: Deliver, options = {}, held?: HeldBudget): Promise<Listening> {
  const log: string[] = [];
  const source = await mllpSource.listen(
    mllpSource.options.parse({ port: 0, ...options }),
    async (arrival) => {
      for await (const _ of arrival.body);
      return await deliver(arrival);
    },
    { log: (event) => void log.push(event), signal: new AbortController().signal, ...(held ? { held } : {}) },
  );
  stops.push(() => source.stop());
  return { port: Number(source.address.split(":")[1]), log, source };
}

export const message = (controlId: string, acks = "|"): string =>
  `MSH|^~\\&|HIS|A|SEMRS|A|20260102030405||ADT^A01^ADT_A01|${controlId}|P|2.5.1|||${acks}\rEVN|A01\rPID|1||P1^^^MOI\r`;
export const framed = (text: string): Buffer => Buffer.from(frameOf(Buffer.from(text, "latin1")));

export type Talk = { readonly socket: Socket; readonly back: () => string };
export async function talk(port: number): Promise<Talk> {
  const socket = connect(port, "127.0.0.1");
  stops.push(() => socket.destroy());
  let back = "";
  socket.on("data", (data: Buffer) => (back += data.toString("latin1"))).on("error", () => undefined);
  await once(socket, "connect");
  return { socket, back: () => back };
}
export const codes = (back: string): string[] =>
  [...back.matchAll(/MSA\|(\w\w)\|([^\r|]*)/g)].map(([, code, of]) => `${code} ${of}`);

export const accepting: Deliver = async () => ({ duplicate: false, answer: Promise.resolve({ accepted: true }) });
export const refusing: Deliver = async () => ({
  duplicate: false,
  answer: Promise.resolve({ accepted: false, code: "CDA_INVALID", reason: "line 3" }),
});
export const unstored: Deliver = async () => Promise.reject(new Fault("STORE_FULL", "no space left"));
