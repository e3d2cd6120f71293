/** Whether a text rests anywhere in clear: every file of every site, every log line, what metrics and journal tell. */
import { readdirSync, readFileSync } from "node:fs";
import { join, relative } from "node:path";
import { openAdminClient } from "../admin-client.ts";
import type { Houses } from "./houses.ts";

const charsets = ["utf8", "utf16le", "latin1"] as const;

/** Where one of the texts was found, in words. */
export async function foundInClear(
  { folder, houses, log }: Houses,
  texts: readonly string[],
): Promise<readonly string[]> {
  const needles = texts.flatMap((text) =>
    charsets
      .map((charset) => ({ text, charset, bytes: Buffer.from(text, charset) }))
      // A charset that cannot write the text would look for something else, and find it by chance.
      .filter(({ charset, bytes }) => bytes.toString(charset) === text),
  );
  const search = (where: string, bytes: Buffer): readonly string[] => [
    ...new Set(
      needles.filter(({ bytes: needle }) => bytes.includes(needle)).map(({ text }) => `"${text}" is in ${where}`),
    ),
  ];
  // The ballast is random from the first octet to the last.
  const files = readdirSync(join(folder, "data"), { recursive: true, withFileTypes: true }).filter(
    (each) => each.isFile() && each.name !== "ballast",
  );
  const found = files.flatMap(({ parentPath, name }) => {
    const file = join(parentPath, name);
    return search(relative(folder, file), readFileSync(file));
  });
  found.push(
    ...log.flatMap((line) =>
      search(`the log of ${line.site}, ${line.event}`, Buffer.from(JSON.stringify(line.fields))),
    ),
  );
  for (const [name, { started, config }] of houses) {
    const url = `http://${started.addresses.admin}`;
    const journal = await openAdminClient(url, config.own.data).get<unknown>("/journal");
    found.push(...search(`the journal of ${name}`, Buffer.from(JSON.stringify(journal))));
    found.push(...search(`the metrics of ${name}`, Buffer.from(await (await fetch(`${url}/metrics`)).text())));
  }
  return found;
}
