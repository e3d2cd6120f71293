/** Whose records a verb is about: ids of one patient on the command line, in a file or on standard input. They go in a request's body, and in no address. */
import { createReadStream } from "node:fs";
import type { Command } from "commander";
import { Fault } from "../errors.ts";
import { maxPatientIds, type PatientId } from "../formats/command.ts";
import { loadConfig } from "../pipeline/config.ts";
import { writtenId } from "../pipeline/identifiers.ts";
import type { Where } from "./admin-client.ts";

export type Named = Where & { readonly patient?: string; readonly patientFile?: string };

/** The options that say which site is asked, and about whom. */
export const named = (command: Command): Command =>
  command
    .option(
      "--patient <id>",
      "the patient: ROOT^NUMBER, NAME^NUMBER with a name under identifiers, or a number of this house",
    )
    .option("--patient-file <file>", "a file with such ids of one patient, one a line; - is standard input")
    .option("-c, --config <file>", "configuration of the site (SITE says which)", "channels.yaml")
    .option("--admin <url>", "its admin port instead, http://127.0.0.1:PORT")
    .option("--data <folder>", "its data folder instead (admin.token is read)");

/** QUERY_INVALID, without any number, unless somebody is named, in one way. */
export async function patientIdsOf({ config, patient, patientFile }: Named): Promise<readonly PatientId[]> {
  if ((patient === undefined) === (patientFile === undefined))
    throw new Fault("QUERY_INVALID", "say whom it is about: --patient or --patient-file");
  const lines = (patient ?? (await read(patientFile ?? "-"))).split("\n").filter((line) => line.trim() !== "");
  if (lines.length === 0 || lines.length > maxPatientIds)
    throw new Fault("QUERY_INVALID", `of one patient 1 to ${maxPatientIds} ids are taken, one a line`);
  return lines.map((line) => writtenId(() => loadConfig(config, process.env), line));
}

/** More than all ids of one patient. */
const maxBytes = 64 * 1024;

async function read(file: string): Promise<string> {
  const pieces: Buffer[] = [];
  let size = 0;
  try {
    for await (const piece of file === "-" ? process.stdin : createReadStream(file)) {
      pieces.push(piece as Buffer);
      size += (piece as Buffer).length;
      if (size > maxBytes) break;
    }
  } catch (cause) {
    throw new Fault("QUERY_INVALID", `${file} cannot be read`, { cause });
  }
  if (size > maxBytes) throw new Fault("QUERY_INVALID", `${file} is over ${maxBytes} octets: name a file with ids`);
  return Buffer.concat(pieces).toString("utf8");
}
