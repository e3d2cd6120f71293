/** S/MIME messages that were made once, by us and by OpenSSL, and lie in test/vectors: whoever changes the format learns it here. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { openSmime4 } from "../../envelope/index.ts";
import { unwrapperFrom } from "../../envelope/keys.ts";
import { codeOf } from "../../errors.ts";
import type { Smime4Vector } from "../vectors/make-smime4.ts";
import { clearParts, inPieces, sha256 } from "./samples.ts";
import { memorySpool } from "./smime4-forge.ts";

const folder = join(import.meta.dirname, "..", "vectors");
const names = readdirSync(folder).filter((name) => /^smime4-.*\.json$/.test(name));
const octets = (base64: string): Uint8Array => Buffer.from(base64, "base64");

async function outcomeOf(vector: Smime4Vector, step: number) {
  const { self, purpose, owners } = vector;
  const body = octets(vector.body);
  const opened = await openSmime4(vector.headers, inPieces(body, step === 0 ? body.length : step), {
    self,
    unwrappers: [unwrapperFrom(vector.decryptKey, vector.decryptCertificate)],
    trust: { anchors: [octets(vector.anchor)], crls: [octets(vector.crl)], revocation: "require" },
    now: new Date(vector.now),
    purposes: [purpose],
    partner: (certificate) => {
      const org = owners[certificate];
      return org === undefined ? undefined : { org, profiles: ["smime-4"] };
    },
    hasSeen: () => false,
    spool: memorySpool(),
  });
  return { manifestSha256: opened.manifestSha256, parts: (await clearParts(opened)).map(sha256) };
}

describe.each(names)("%s", (name) => {
  const vector = JSON.parse(readFileSync(join(folder, name), "utf8")) as Smime4Vector;
  test.each([
    ["whole", 0],
    ["in pieces of 701 octets", 701],
    ["octet by octet", 1],
  ])(`${vector.about} (%s)`, async (_, step) => {
    if (vector.outcome !== "opened")
      return await expect(outcomeOf(vector, step).catch(codeOf)).resolves.toBe(vector.outcome);
    const { manifestSha256, parts } = vector;
    expect(await outcomeOf(vector, step)).toEqual({ manifestSha256, parts });
  });
});

test("there are vectors", () => {
  expect(names.length).toBeGreaterThanOrEqual(12);
});
