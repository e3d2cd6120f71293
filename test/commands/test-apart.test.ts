/** `semrs test` beside a live house: nothing of that house is taken, told or waited for. */
import { existsSync, mkdirSync, mkdtempSync, readdirSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { sampleMessage } from "../fixtures/documents.ts";
import { one, record, tested } from "./tested.ts";

test("files that wait in a watched folder stay there", async () => {
  const path = join(mkdtempSync(join(tmpdir(), "semrs-watched-")), "incoming");
  mkdirSync(path);
  writeFileSync(join(path, "live.hl7"), sampleMessage("mdm-t02-116"));
  const folder = `      files: { directory: { path: ${path}, mediaType: application/hl7-v2, everySeconds: 0.05 } }\n`;
  const wanted = one([record, record, record], { channel: "documents", findings: [] });
  const { exit, out } = await tested(
    [
      ["    systems:\n      his:\n", `    systems:\n${folder}      his:\n`],
      ["    source: [his, pacs]", "    source: [his, pacs, files]"],
    ],
    wanted,
  );
  expect({ exit, out }).toMatchObject({ exit: 0 });
  expect(readdirSync(path)).toEqual(["live.hl7"]);
  expect(existsSync(join(path, "done"))).toBe(false);
}, 60_000);
