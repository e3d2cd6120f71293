/** `semrs send`: gives files to a listener as a HIS or a PACS would, and says what it answered to each. */
import { readFile } from "node:fs/promises";
import { Command, InvalidArgumentError } from "commander";
import type { Item, Outcome } from "../connectors/connector.ts";
import { type DicomItem, dicomDestination } from "../connectors/dicom/scu.ts";
import { mllpDestination } from "../connectors/mllp/index.ts";
import { Fault, reasonOf } from "../errors.ts";
import { readMeta } from "../formats/dicom.ts";
import { readMsh } from "../formats/hl7.ts";

const exitData = 65;
const exitUnavailable = 69;
const context = { log: () => undefined, signal: new AbortController().signal };

export function sendCommand(): Command {
  const send = new Command("send").summary("send files to an MLLP or DICOM listener");
  send
    .command("mllp")
    .summary("HL7 v2 messages")
    .argument("<file...>", "one message a file")
    .requiredOption("--to <host:port>", "listener", hostPort)
    .addHelpText("before", "Example:\n  semrs send mllp --to 127.0.0.1:2575 report.hl7\n")
    .action(async (files: string[], { to }: { to: HostPort }) => {
      const options = mllpDestination.options.parse(to);
      await report(files, async (file, said) => {
        const bytes = await readFile(file);
        const item: Item = { controlId: readMsh(bytes).controlId, size: bytes.length, body: () => one(bytes) };
        await mllpDestination.send(options, one(item), (_item, outcome) => said(outcome), context);
      });
    });
  send
    .command("dicom")
    .summary("DICOM Part 10 files, all on one association")
    .argument("<file...>", "Part 10 files")
    .requiredOption("--to <aet@host:port>", "listener", aetHostPort)
    .option("--aet <title>", "our AE title", "PACS_A")
    .addHelpText("before", "Example:\n  semrs send dicom --to SEMRS_A@127.0.0.1:11112 *.dcm\n")
    .action(async (files: string[], { to, aet }: { to: HostPort & { calledAeTitle: string }; aet: string }) => {
      const options = dicomDestination.options.parse({ ...to, callingAeTitle: aet });
      const said = new Map<string, Outcome>();
      const items = (async function* (): AsyncGenerator<DicomItem> {
        for (const file of files) {
          const bytes = await readFile(file);
          const { sopInstanceUid, sopClassUid, transferSyntaxUid } = readMeta(bytes);
          yield {
            controlId: sopInstanceUid,
            size: bytes.length,
            sopClassUid,
            transferSyntaxUid,
            body: () => one(bytes),
          };
        }
      })();
      try {
        await dicomDestination.send(options, items, (item, outcome) => said.set(item.controlId, outcome), context);
      } catch (thrown) {
        process.stderr.write(`semrs send: ${reasonOf(thrown)}\n`);
        process.exitCode = exitUnavailable;
      }
      for (const [uid, outcome] of said) print(uid, outcome);
    });
  return send;
}

async function report(
  files: readonly string[],
  work: (file: string, said: (outcome: Outcome) => void) => Promise<void>,
): Promise<void> {
  for (const file of files) {
    try {
      await work(file, (outcome) => print(file, outcome));
    } catch (thrown) {
      process.stderr.write(`${file}: ${thrown instanceof Fault ? thrown.message : String(thrown)}\n`);
      process.exitCode = exitUnavailable;
    }
  }
}

function print(what: string, outcome: Outcome): void {
  const detail = outcome.state === "delivered" ? (outcome.detail ?? "") : outcome.reason;
  process.stdout.write(`${what}  ${outcome.state}  ${detail}\n`);
  if (outcome.state !== "delivered") process.exitCode = exitData;
}

type HostPort = { readonly host: string; readonly port: number };

function hostPort(value: string): HostPort {
  const [, host = "", port = ""] = /^(.+):(\d{1,5})$/.exec(value) ?? [];
  if (!host) throw new InvalidArgumentError("write host:port, for example 127.0.0.1:2575");
  return { host, port: Number(port) };
}

function aetHostPort(value: string): HostPort & { calledAeTitle: string } {
  const at = value.indexOf("@");
  if (at < 1) throw new InvalidArgumentError("write AET@host:port, for example SEMRS_A@127.0.0.1:11112");
  return { calledAeTitle: value.slice(0, at), ...hostPort(value.slice(at + 1)) };
}

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}
