/** The reference documentation, made from the schemas and tables that the program itself uses. `node commands/reference/index.ts` writes it. */
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { errorCodes } from "../../errors.ts";
import { adminPage } from "./admin.ts";
import { commandsPage, commandsSchema } from "./commands.ts";
import { errorIndex, errorPage, findingIndex } from "./errors.ts";
import { channelsPage, connectorsPage, editorSchema, stationsPage, testingPage } from "./pages.ts";

/** The documents by file. */
export const references: Readonly<Record<string, () => string>> = {
  "channels.schema.json": editorSchema,
  "docs/reference/channels.md": channelsPage,
  "docs/reference/stations.md": stationsPage,
  "docs/reference/connectors.md": connectorsPage,
  "docs/reference/testing.md": testingPage,
  "docs/reference/findings.md": findingIndex,
  "docs/reference/errors.md": errorIndex,
  "docs/reference/admin.md": adminPage,
  "docs/reference/commands.md": commandsPage,
  "docs/reference/commands.schema.json": commandsSchema,
  ...Object.fromEntries(errorCodes.map((code) => [`docs/reference/errors/${code}.md`, () => errorPage(code)])),
};

if (import.meta.main) {
  for (const [file, make] of Object.entries(references)) {
    const path = join(import.meta.dirname, "..", "..", file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, make());
  }
}
