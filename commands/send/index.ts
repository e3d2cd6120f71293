/** `semrs send`: gives files to a listener as a HIS or a PACS would, and says what it answered to each. */
import { globSync, statSync } from "node:fs";
import { Command } from "commander";
import { Fault } from "../../errors.ts";
import { exits, guarded, print, say } from "../exit.ts";
import { sendDicom } from "./dicom.ts";
import { sendMllp } from "./mllp.ts";
import {
  aetHostPort,
  hostPort,
  type Peer,
  positive,
  seconds,
  type TlsFlags,
  titled,
  tlsFlags,
  tlsOf,
  whole,
} from "./peer.ts";
import { openReport, type ReportLine, unsent } from "./report.ts";

export type Flags = TlsFlags & {
  readonly to: Peer;
  readonly connections: number;
  readonly rate?: number;
  readonly timeout: number;
  readonly aet: string;
  readonly json?: boolean;
  readonly quiet?: boolean;
  readonly report?: string;
  readonly resend?: string;
};

export function sendCommand(): Command {
  const send = new Command("send")
    .summary("send files to an MLLP or DICOM listener, as a HIS or PACS would")
    .addHelpText(
      "beforeAll",
      "Examples:\n  semrs send mllp --to 127.0.0.1:2575 report.hl7\n  semrs send dicom --to SEMRS_A@127.0.0.1:11112 study/\n  semrs send mllp --to 127.0.0.1:2575 --connections 8 --rate 100 --report sent.jsonl feed/\n  semrs send mllp --to 127.0.0.1:2575 --resend sent.jsonl\n",
    );
  common(send.command("mllp"), "HL7 v2 messages, one a file", hostPort, "host:port").action(
    (files: string[], flags: Flags) => guarded("send mllp", () => sendAll(files, flags, sendMllp)),
  );
  common(send.command("dicom"), "DICOM Part 10 files", aetHostPort, "AET@host:port")
    .option("--aet <title>", "our AE title", titled, "SEMRS_SCU")
    .action((files: string[], flags: Flags) => guarded("send dicom", () => sendAll(files, flags, sendDicom)));
  return send;
}

const common = (command: Command, summary: string, parse: (value: string) => Peer, shape: string): Command =>
  tlsFlags(
    command
      .summary(summary)
      .argument("[file...]", "files, or folders with files")
      .requiredOption(`--to <${shape}>`, "listener", parse)
      .option("--connections <count>", "connections (associations) at once", whole, 1)
      .option("--rate <count>", "at most so many a second", positive)
      .option("--timeout <seconds>", "to wait for an answer", seconds, 30)
      .option("--report <file>", "write one line of JSON an item")
      .option("--resend <report>", "send what that report says was not delivered")
      .option("-q, --quiet", "only the summary")
      .option("--json", "print JSON"),
  );

export type SendFiles = (
  files: readonly string[],
  flags: Flags,
  tls: ReturnType<typeof tlsOf>,
  told: (line: ReportLine) => void,
) => Promise<void>;

async function sendAll(given: readonly string[], flags: Flags, send: SendFiles): Promise<void> {
  const files = flags.resend !== undefined ? unsent(flags.resend) : given.flatMap(expanded);
  if (files.length === 0)
    throw new Fault(
      "QUERY_INVALID",
      flags.resend !== undefined ? `${flags.resend}: everything in it was delivered` : "name files or folders to send",
    );
  const report = openReport(files.length, flags);
  try {
    await send(files, flags, tlsOf(flags), report.told);
  } finally {
    const summary = report.close();
    if (flags.json) print(JSON.stringify(summary));
    else say(summary.text);
    const left = summary.count - summary.delivered;
    if (left > 0) process.exitCode = exits.data;
  }
}

/** A folder stands for the files in it, however deep. */
function expanded(path: string): readonly string[] {
  const found = statSync(path, { throwIfNoEntry: false });
  if (!found) throw new Fault("QUERY_INVALID", `${path}: no such file or folder`);
  if (!found.isDirectory()) return [path];
  return globSync(`${path}/**/*`)
    .filter((each) => statSync(each).isFile())
    .sort();
}
