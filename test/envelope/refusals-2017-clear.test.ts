import { describe, expect, test } from "vitest";
import { type LegacyUnwrapper, open2017 } from "../../envelope/index.ts";
import { type Forgery, forge2017 } from "./forge2017.ts";
import { hospitalB, memorySpool, opening2017, peerA } from "./legacy.ts";
import { check2017 } from "./refusals2017.ts";
import { inPieces, octets } from "./samples.ts";

describe("what is seen in the clear", () => {
  /** Neither the private key nor the key book is asked. */
  const untouched = {
    unwrapper: { ...hospitalB.unwrapper, unwrap: () => expect.fail("unwrapped") } satisfies LegacyUnwrapper,
    reserve: async () => expect.fail("reserved"),
  };
  const text = (change: (body: string) => string): Forgery => ({
    body: (body) => Buffer.from(change(body.toString("latin1")), "latin1"),
  });

  test.each<[string, readonly string[]]>([
    ["19 a partner that is pinned to semrs-2", ["semrs-2"]],
    ["a partner that uses another profile beside it", ["semrs-2017", "semrs-2"]],
    ["a partner without a profile", []],
  ])("%s: no cryptography at all", async (_, profiles) => {
    const { headers, body } = forge2017();
    const spool = memorySpool();
    const opening = opening2017({ ...untouched, spool, peer: { ...peerA, profiles } });
    await expect(open2017(headers, inPieces(body), opening)).rejects.toMatchObject({ code: "ENVELOPE_UNSUPPORTED" });
    expect(spool.written).toHaveLength(0);
  });

  test.each<[string, string, Forgery]>([
    [
      "18 another profile's header",
      "ENVELOPE_UNSUPPORTED",
      { headers: (each) => [...each, ["X-SEMRS-Id", "0".repeat(32)]] },
    ],
    [
      "4 one of nine missing",
      "ENVELOPE_UNSUPPORTED",
      { headers: (each) => each.filter(([name]) => name !== "X-EEC-DistAlg") },
    ],
    ["3 a header twice", "ENVELOPE_UNSUPPORTED", { headers: (each) => [...each, ["x-eec-sender", "AAAA"]] }],
    ["no MIME-Version", "ENVELOPE_MALFORMED", { headers: (each) => each.slice(1) }],
    ["9 a preamble", "ENVELOPE_MALFORMED", text((body) => `x\r\n${body}`)],
    ["9 an epilogue", "ENVELOPE_MALFORMED", text((body) => `${body}x`)],
    ["10 no closing boundary", "ENVELOPE_MALFORMED", text((body) => body.slice(0, -20))],
    ["a part of semrs-2", "ENVELOPE_MALFORMED", text((body) => body.replace("octet-stream", "pkcs7-mime"))],
    ["16 quoted-printable", "ENVELOPE_MALFORMED", text((body) => body.replace("binary", "quoted-printable"))],
    ["12 three parts", "ENVELOPE_MALFORMED", { parts: (parts) => parts.slice(0, 3) }],
    ["a digest over 2 KiB", "TOO_LARGE", { digest: octets(2100) }],
  ])("%s", async (_, code, forgery) => {
    const { headers, body } = forge2017(forgery);
    await expect(open2017(headers, inPieces(body), opening2017(untouched))).rejects.toMatchObject({ code });
  });

  check2017({
    "12 a part more than BodypartCnt": {
      parts: (parts) => [...parts, ...parts.slice(4)],
      cause: "X-EEC-BodypartCnt: not as agreed",
    },
    "12 a part fewer": { parts: (parts) => parts.slice(0, 4), cause: "X-EEC-BodypartCnt: not as agreed" },
    "48 a header's ciphertext under another name": {
      headers: (headers) => headers.map(([name], at) => [name, headers[at === 1 ? 2 : at]?.[1] ?? ""]),
      cause: "X-EEC-Sender: not as agreed",
    },
  });
});
