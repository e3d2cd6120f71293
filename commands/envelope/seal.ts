/** `semrs seal`: a document and its images from files into one envelope. */
import { Command, InvalidArgumentError, Option } from "commander";
import { type KeyTransport, keyTransports } from "../../envelope/index.ts";
import { guarded } from "../exit.ts";
import { collect } from "../options.ts";
import { positive } from "../send/peer.ts";

export type SealFlags = {
  readonly profile: "semrs-2" | "smime-4" | "semrs-2017";
  readonly transport: KeyTransport;
  readonly sender?: string;
  readonly key?: string;
  readonly certificate?: string;
  readonly to: readonly string[];
  readonly messageType: string;
  readonly document: string;
  readonly image: readonly string[];
  readonly attachment: readonly string[];
  readonly lifetime: number;
  readonly out: string;
};

export function sealCommand(): Command {
  return (
    new Command("seal")
      .summary("seal a document and its images into an envelope for one or several receivers")
      .addOption(
        new Option("--profile <name>", "envelope profile")
          .choices(["semrs-2", "smime-4", "semrs-2017"])
          .default("semrs-2"),
      )
      .addOption(
        new Option("--transport <name>", "semrs-2017: how the receiver takes the one-time key")
          .choices(keyTransports)
          .default("rsa-oaep"),
      )
      .option("--sender <folder>", "the sender's key folder")
      .option("--key <file>", "or its signing key, PEM")
      .option("--certificate <file>", "with the certificate of that key")
      .requiredOption("--to <folder or certificate>", "a receiver; may be given several times", collect, [])
      .requiredOption("--message-type <type>", "EEC form (116) or LOINC code", codeOf)
      .requiredOption("--document <file>", "CDA document; - for standard input")
      .option("--image <file>", "DICOM Part 10 file; may be given several times", collect, [])
      .option("--attachment <file>", "any other file; may be given several times", collect, [])
      .option("--lifetime <hours>", "how long it may be opened", positive, 24)
      .option("--out <file>", "where it goes; - for standard output", "-")
      .addHelpText(
        "before",
        "Example:\n  semrs seal --sender pki/hospital-a --to pki/hospital-b --message-type 116 --document report.xml --image ct-1.dcm --out record.eml\n",
      )
      // What seals is read when it is needed: help and completion do without.
      .action((flags: SealFlags) => guarded("seal", async () => (await import("./seal-files.ts")).sealFiles(flags)))
  );
}

const codeOf = (value: string): string => {
  if (/^[0-9A-Za-z][0-9A-Za-z.-]{0,63}$/.test(value)) return value;
  throw new InvalidArgumentError("write an EEC form or a LOINC code, for example 116 or 11502-2");
};
