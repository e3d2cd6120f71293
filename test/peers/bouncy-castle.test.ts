/** Bouncy Castle opens our parts: another implementation of CMS AuthEnvelopedData, with nothing of ours but the key. */
import { execFileSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, describe, expect, test } from "vitest";
import { partStream, sealPart } from "../../envelope/index.ts";
import { envelopeKey } from "../../envelope/part.ts";
import { collect, flipped, inPieces, mebibyte, octets } from "../envelope/samples.ts";
import { peer } from "../peers.ts";

const jars = ["bcprov", "bcutil", "bcpkix", "bcmail"].map((name) => `/usr/share/java/${name}.jar`);
const java = peer("javac");
if (process.env.REQUIRE_PEERS && !jars.every(existsSync))
  throw new Error("libbcmail-java is required here and not installed");
const isThere = java.available && jars.every(existsSync);
const folder = mkdtempSync(join(tmpdir(), "semrs-bc-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe.skipIf(!isThere)(`Bouncy Castle ${isThere ? "" : "or a JDK is not installed"}`, () => {
  const classpath = [folder, ...jars].join(":");
  const opened = (part: Uint8Array, kek: Uint8Array): Buffer => {
    writeFileSync(join(folder, "part"), part);
    rmSync(join(folder, "clear"), { force: true });
    execFileSync(
      "java",
      ["-cp", classpath, "OpenPart", join(folder, "part"), Buffer.from(kek).toString("hex"), join(folder, "clear")],
      { stdio: "ignore" },
    );
    return readFileSync(join(folder, "clear"));
  };
  test("a small part, one of exactly two segments, and a longer one; a changed tag is refused", async () => {
    execFileSync("javac", ["-cp", classpath, "-d", folder, join(import.meta.dirname, "java/OpenPart.java")]);
    const [oneTimeKey, id] = [Buffer.alloc(32, 7), "0123456789abcdef0123456789abcdef"];
    const kek = envelopeKey(oneTimeKey, id, "wrap").export();
    for (const size of [100, 2 * mebibyte, 2 * mebibyte + 777]) {
      const clear = octets(size);
      const sealed = sealPart(inPieces(clear), "segments");
      const cipher = await collect(sealed.cipher);
      const part = await collect(partStream(inPieces(cipher), sealed.facts(), oneTimeKey, id));
      expect(opened(part, kek).equals(clear)).toBe(true);
      expect(() => opened(flipped(part, part.length - 10), kek)).toThrow();
    }
  }, 120_000);
});
