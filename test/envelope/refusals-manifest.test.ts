/** What is refused for what the signed manifest says. */
import { describe, expect, test } from "vitest";
import { sealHeader } from "../../envelope/headers.ts";
import { type Forgery, forge } from "./forge.ts";
import { check, openAll } from "./refusals.ts";

const claimed = (change: (manifest: Record<string, unknown>) => Record<string, unknown>): Forgery => ({
  manifest: (manifest) => change({ ...manifest }),
});
const claimedPart = (index: number, change: Readonly<Record<string, unknown>>): Forgery => ({
  manifest: ({ parts, ...manifest }) => ({
    ...manifest,
    parts: parts.map((part, n) => (n === index ? { ...part, ...change } : part)),
  }),
});
const text = (change: (json: string) => string): Forgery => ({ text: change });

describe("manifest", () => {
  check(
    {
      "61 a key twice": text((json) => json.replace('"purpose"', '"id":"0","purpose"')),
      "61 a key twice, once escaped": text((json) =>
        json.replace('"purpose":"push"', '"purpose":"push","purpos\\u0065":"push"'),
      ),
      "61 1e400": text((json) => json.replace('"n":1', '"n":1e400')),
      "61 deep nesting": text((json) => json.replace('"log":null', `"log":${"[".repeat(100_000)}`)),
      "61 __proto__": text((json) => json.replace('"log":null', '"log":null,"__proto__":{"purpose":"provide"}')),
      "62 sha256 of something else": claimedPart(0, { sha256: "0".repeat(64) }),
      "62 a size one less": claimedPart(0, { size: 1 }),
      "62 segs of something else": claimedPart(1, { segs: Buffer.alloc(32).toString("base64") }),
      "62 too few segs": claimedPart(1, { segs: "" }),
      "63 part 4 in the list": claimedPart(1, { n: 4 }),
      "63 an unknown role": claimedPart(1, { role: "key" }),
      "63 an instance without its UID": claimedPart(1, { sop: undefined }),
      "64 a size of 2^60": text((json) => json.replace('"size":500', `"size":${2 ** 60}`)),
      "64 a size of nothing": claimedPart(1, { size: 0 }),
      "95 seg other than a mebibyte": claimedPart(1, { seg: 65_536 }),
      "95 a wrong root": claimedPart(1, { root: "0".repeat(64) }),
      "95 a gap in n": claimedPart(1, { n: 6 }),
      "96 an unknown key": claimed((manifest) => ({ ...manifest, note: "x" })),
      "96 a key missing": claimed(({ log: _, ...manifest }) => manifest),
      "96 a BOM": text((json) => `\ufeff${json}`),
      "96 upper-case digest": text((json) =>
        json.replace(/"sha256":"([0-9a-f]+)"/, (_, digest: string) => `"sha256":"${digest.toUpperCase()}"`),
      ),
      "96 not UTF-8": {
        text: (json) => Buffer.concat([Buffer.from(json.slice(0, -1)), Uint8Array.of(0xff), Buffer.from("}")]),
      },
      "96 a time that is none": claimed((manifest) => ({ ...manifest, created: "2026-02-30T12:00:00Z" })),
      "96 a time in another zone": claimed((manifest) => ({ ...manifest, created: "2026-05-04T14:00:00+02:00" })),
      "96 X-EEC-Sender that is not the sender": claimed(({ headers, ...manifest }) => ({
        ...manifest,
        headers: { ...(headers as object), "X-EEC-Sender": "hospital-c" },
      })),
      "42 the id of another envelope": claimed((manifest) => ({ ...manifest, id: "0".repeat(32) })),
    },
    "ENVELOPE_NOT_OPENED",
    /^manifest: |^part: (a digest differs|more octets)|^X-EEC-Sender differs|of another envelope/,
  );

  test("a signed header that is not true of the envelope is refused although it agrees with the sealed one", async () => {
    const lies = {
      "X-EEC-BodypartCnt": "6",
      "X-EEC-HeaderCnt": "10",
      "X-EEC-SymmetricAlg": "aes-128-gcm",
      "X-EEC-SignAlg": "ed25519",
      "X-EEC-AsymmetricAlg": "rsaes-oaep-sha256",
    };
    for (const [lie, said] of Object.entries(lies)) {
      const forged = await forge({
        manifest: ({ headers, ...manifest }) => ({ ...manifest, headers: { ...headers, [lie]: said } }),
        value: (name, value, key) =>
          name === lie ? sealHeader(key, "X-EEC-BodypartCnt" === lie ? lie : (lie as "X-EEC-HeaderCnt"), said) : value,
      });
      await expect(openAll(forged), lie).rejects.toMatchObject({
        code: "ENVELOPE_NOT_OPENED",
        message: `${lie} is signed and not true of this envelope`,
      });
    }
  });
});
