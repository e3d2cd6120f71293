/** Small files that are there whole or not at all: a new one takes nobody's place, and a link stays one. */
import { lstatSync, mkdtempSync, readdirSync, readFileSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { writeKey } from "../../commands/pki/authority.ts";
import { writeDurably, writeNewDurably } from "../../store/durable.ts";
import { holder } from "../envelope/certificates.ts";

const fresh = (): string => mkdtempSync(join(tmpdir(), "semrs-durable-"));

test("a new file takes the place of none that was made meanwhile, and leaves nothing beside", () => {
  const folder = fresh();
  const file = join(folder, "sign.key");
  writeNewDurably(file, "first", 0o600);
  expect(() => writeNewDurably(file, "second", 0o600)).toThrow(expect.objectContaining({ code: "EEXIST" }));
  expect([readFileSync(file, "utf8"), statSync(file).mode & 0o777]).toEqual(["first", 0o600]);
  expect(readdirSync(folder)).toEqual(["sign.key"]);
});

test("a key is never overwritten", () => {
  const file = join(fresh(), "sign.key");
  writeFileSync(file, "mine");
  expect(() => writeKey(file, holder("k").key)).toThrow(expect.objectContaining({ code: "CONFIG_INVALID" }));
  expect(readFileSync(file, "utf8")).toBe("mine");
});

test("a list that is published through a link is written where it leads", () => {
  const folder = fresh();
  const [published, list] = [join(folder, "published.crl"), join(folder, "ca.crl")];
  writeFileSync(published, "before");
  symlinkSync(published, list);
  writeDurably(list, "after", 0o644);
  expect([lstatSync(list).isSymbolicLink(), readFileSync(published, "utf8")]).toEqual([true, "after"]);
});
