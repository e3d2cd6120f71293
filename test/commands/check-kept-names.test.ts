/** `semrs check` of a system that has a name of SEMRS's own: what its ledger keeps of the one would be taken for the other. */
import { expect, test } from "vitest";
import { ledgers } from "../../pipeline/remembered.ts";
import { checked } from "./checked.ts";

test.each(Object.values(ledgers))("a system that is called %s", async (name) => {
  const { findings } = await checked([
    ["      pacs:\n", `      ${name}:\n        directory: { path: in, mediaType: application/dicom }\n      pacs:\n`],
  ]);
  const about = findings.filter(({ message }) => message.startsWith(`sites.hospital-a.systems.${name}`));
  expect(about.map(({ code, message }) => `${code} ${message}`)).toEqual([
    `CONFIG_NAME sites.hospital-a.systems.${name}: ${name} is a name that SEMRS keeps for itself; call the system something else`,
  ]);
});
