/** `semrs echo`: whether a listener answers: C-ECHO for AET@host:port, a connection (with TLS where asked) for host:port. */
import { Command } from "commander";
import { dicomDestination, echo } from "../connectors/dicom/scu.ts";
import { reach } from "../connectors/wire.ts";
import { guarded, print } from "./exit.ts";
import { aetHostPort, hostPort, quiet, seconds, type TlsFlags, titled, tlsFlags, tlsOf, whole } from "./send/peer.ts";

type Flags = TlsFlags & {
  readonly aet: string;
  readonly count: number;
  readonly timeout: number;
  readonly json?: boolean;
};

export function echoCommand(): Command {
  return tlsFlags(
    new Command("echo")
      .summary("ask whether a listener answers: C-ECHO, or a connection for MLLP")
      .argument("<peer>", "AET@host:port for DICOM, host:port for MLLP")
      .option("--aet <title>", "our AE title", titled, "SEMRS_SCU")
      .option("--count <count>", "how often", whole, 1)
      .option("--timeout <seconds>", "to wait for an answer", seconds, 5)
      .option("--json", "print JSON"),
  )
    .addHelpText("before", "Examples:\n  semrs echo SEMRS_A@127.0.0.1:11112\n  semrs echo 127.0.0.1:2575\n")
    .action((peer: string, flags: Flags) => guarded("echo", () => ask(peer, flags)));
}

async function ask(peer: string, flags: Flags): Promise<void> {
  const tls = tlsOf(flags);
  for (let time = 0; time < flags.count; time += 1) {
    const started = performance.now();
    if (peer.includes("@")) {
      const options = {
        ...aetHostPort(peer),
        callingAeTitle: flags.aet,
        connectSeconds: flags.timeout,
        responseSeconds: flags.timeout,
        tls,
      };
      await echo(dicomDestination.options.parse(options), quiet);
    } else {
      const socket = await reach({ ...hostPort(peer), connectSeconds: flags.timeout, tls }, peer, quiet.signal);
      socket.destroy();
    }
    const ms = Math.round((performance.now() - started) * 10) / 10;
    const what = peer.includes("@") ? "C-ECHO Success" : "connected (MLLP has no echo of its own)";
    print(
      flags.json
        ? JSON.stringify({ peer, ms, tls: tls !== undefined })
        : `${peer}  ${what}${tls ? ", TLS" : ""}  ${ms} ms`,
    );
  }
}
