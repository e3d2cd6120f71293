/** dcmjs-dimse, a peer in measurements and tests: loaded when it is asked for, and silent, since it writes values of patients to standard error. */
import { createRequire } from "node:module";

type Library = typeof import("dcmjs-dimse");
type Silenced = { setLevel(level: "silent", persist: boolean): void };

export function dimseLibrary(): Library {
  const require = createRequire(import.meta.url);
  const { log } = require("dcmjs") as { log: Silenced & { getLogger(name: string): Silenced } };
  const dimse = require("dcmjs-dimse") as Library;
  for (const logger of [log, log.getLogger("validation.dcmjs"), dimse.log]) logger.setLevel("silent", false);
  return dimse;
}
