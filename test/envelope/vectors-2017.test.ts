/** semrs-2017 envelopes that were sealed once and lie in test/vectors: whoever changes the format learns it here. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { legacyUnwrapperFrom, open2017 } from "../../envelope/index.ts";
import { codeOf } from "../../errors.ts";
import type { Vector2017 } from "../vectors/make-semrs2017.ts";
import { clear2017, memorySpool } from "./legacy.ts";
import { inPieces, sha256 } from "./samples.ts";

const folder = join(import.meta.dirname, "..", "vectors");
const names = readdirSync(folder).filter((name) => /^semrs2017-.*\.json$/.test(name));
const octets = (base64: string): Uint8Array => Buffer.from(base64, "base64");

async function outcomeOf(vector: Vector2017, step: number) {
  const body = octets(vector.body);
  const reserved: string[] = [];
  const opening = open2017(vector.headers, inPieces(body, step === 0 ? body.length : step), {
    self: vector.self,
    unwrapper: legacyUnwrapperFrom(vector.decryptKey, vector.decryptCertificate),
    trust: { anchors: [octets(vector.anchor)], crls: [octets(vector.crl)], revocation: "require" },
    now: new Date(vector.now),
    peer: {
      org: vector.peer,
      profiles: ["semrs-2017"],
      signing: [octets(vector.signCertificate.replaceAll(/-----.*-----|\s/g, ""))],
      chain: [],
      transport: vector.transport,
    },
    spool: memorySpool(),
    reserve: async (...digests) => {
      reserved.push(...digests);
      return "fresh";
    },
  });
  const opened = await opening.catch(codeOf);
  if (typeof opened === "string") return { outcome: opened, reserved };
  if (opened.outcome !== "opened") throw new Error("repeated");
  const { outcome, messageType } = opened;
  return { outcome, reserved, messageType, parts: (await clear2017(opened)).map(sha256) };
}

describe.each(names)("%s", (name) => {
  const vector = JSON.parse(readFileSync(join(folder, name), "utf8")) as Vector2017;
  test.each([
    ["whole", 0],
    ["in pieces of 701 octets", 701],
    ["octet by octet", 1],
  ])(`${vector.about} (%s)`, async (_, step) => {
    const { outcome, messageType, parts, keySha256, envelopeSha256 } = vector;
    const reserved = [keySha256, envelopeSha256];
    expect(await outcomeOf(vector, step)).toEqual(
      outcome === "opened" ? { outcome, reserved, messageType, parts } : { outcome, reserved },
    );
  });
});

test("there are vectors", () => {
  expect(names.length).toBeGreaterThanOrEqual(6);
});
