/** Hospital A alone, in this process, on free ports and in a fresh folder: for what happens at its HL7 v2 listener. */
import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ports } from "../commands/demo/ports.ts";
import { type Started, startSite } from "../commands/start-site.ts";
import { frameOf } from "../connectors/mllp/framer.ts";
import type { Level } from "../log.ts";
import { loadConfig } from "../pipeline/config.ts";
import type { LoggedLine } from "./sites.ts";
import { until } from "./sites.ts";

export type House = {
  readonly store: Started["store"];
  readonly log: LoggedLine[];
  /** Its admin port, and the token for it. */
  readonly admin: { readonly port: number; token(): string };
  /** Sends octets as one frame, and gives what came back once there are so many frames of it. */
  ask(bytes: Uint8Array, answers?: number): Promise<string>;
  /** Sends octets as they are; `heard` is told of what comes back as it comes. */
  write(bytes: Uint8Array, answers: number, heard?: (back: string) => void): Promise<string>;
  close(): Promise<void>;
};

const root = join(import.meta.dirname, "..");
const names = ["A_PORT", "A_ADMIN", "A_HIS", "A_PACS"];

/** `edit` changes the shipped channels.yaml first. */
export async function openHouse(pki: string, edit: (yaml: string) => string = (yaml) => yaml): Promise<House> {
  const folder = mkdtempSync(join(tmpdir(), "semrs-house-"));
  const file = join(folder, "channels.yaml");
  writeFileSync(file, edit(readFileSync(join(root, "channels.yaml"), "utf8")));
  const log: LoggedLine[] = [];
  const free = await ports(names);
  const env = { PKI: pki, DATA: join(folder, "data"), SITE: "hospital-a", QUIET: "300ms", ...free };
  const tell = (event: string, fields = {}, level: Level = "info"): void =>
    void log.push({ site: "hospital-a", event, fields, level });
  const site = await startSite(loadConfig(file, env), tell);
  const [port, adminPort] = [Number(free.A_HIS), Number(free.A_ADMIN)];
  const write: House["write"] = async (bytes, answers, heard = () => undefined) => {
    const socket = connect(port, "127.0.0.1");
    let back = "";
    socket.on("data", (data: Buffer) => {
      back += data.toString("latin1");
      heard(back);
    });
    socket.on("error", () => undefined);
    await once(socket, "connect");
    socket.end(bytes);
    await until(`${answers} answers`, () => back.split("\u001c\r").length > answers, 30_000);
    // Our end is closed: the house closes its own once everything is answered.
    await until("the end", () => socket.closed || socket.readableEnded, 30_000);
    return back;
  };
  return {
    store: site.store,
    log,
    admin: {
      port: adminPort,
      token: () => readFileSync(join(folder, "data", "hospital-a", "admin.token"), "utf8").trim(),
    },
    write,
    ask: (bytes, answers = 1) => write(frameOf(bytes), answers),
    close: async () => {
      await site.stop();
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/** MSA-1 of every acknowledgement in what came back, with MSA-2. */
export const acksIn = (back: string): readonly string[] =>
  [...back.matchAll(/(?<=\r)MSA.(\w\w).([^\r|]*)/g)].map(([, code, of]) => `${code} ${of}`.trim());
