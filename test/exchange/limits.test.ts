/** What one peer may cost before it has proven anything, and that another does not notice. */
import { describe, expect, test } from "vitest";
import { type PeerLimits, peerLimits } from "../../exchange/limits.ts";

const at = (seconds: number): Date => new Date(1_700_000_000_000 + seconds * 1000);
const mebibyte = 1 << 20;

async function* octets(count: number): AsyncGenerator<Uint8Array> {
  for (let n = 0; n < count; n += 1) yield new Uint8Array(mebibyte);
}
const read = async (body: AsyncIterable<Uint8Array>): Promise<number> => {
  let size = 0;
  for await (const chunk of body) size += chunk.length;
  return size;
};
const busy = { code: "PEER_BUSY" };

describe("limits of a TLS peer", () => {
  test("four envelopes at once are not verified yet; the fifth waits until one is, or has left", () => {
    const limits = peerLimits();
    const four = [1, 2, 3, 4].map(() => limits.admit("a", at(0)));
    expect(() => limits.admit("a", at(0))).toThrow(expect.objectContaining(busy));
    limits.admit("b", at(0));
    four[0]?.verified();
    limits.admit("a", at(0)).verified();
    four[1]?.left();
    limits.admit("a", at(0));
    limits.admit("a", at(0));
    expect(() => limits.admit("a", at(0))).toThrow(expect.objectContaining(busy));
  });

  test("256 MiB that are not verified, over all envelopes of the peer; what is verified counts no more", async () => {
    const limits = peerLimits();
    const [one, two] = [limits.admit("a", at(0)), limits.admit("a", at(0))];
    expect(await read(one.counted(octets(200)))).toBe(200 * mebibyte);
    await expect(read(two.counted(octets(100)))).rejects.toMatchObject(busy);
    two.left();
    one.verified();
    expect(await read(limits.admit("a", at(0)).counted(octets(250)))).toBe(250 * mebibyte);
    expect(await read(one.counted(octets(300)))).toBe(300 * mebibyte);
  });

  const open = (limits: PeerLimits, seconds: number): void => {
    const admitted = limits.admit("a", at(seconds));
    admitted.verified();
    admitted.opened();
  };
  const fail = (limits: PeerLimits, count: number, seconds: number): void => {
    for (let n = 0; n < count; n += 1) limits.admit("a", at(seconds)).left();
  };
  test("twenty in a minute that do not open; after a minute it may try again", () => {
    const limits = peerLimits();
    fail(limits, 20, 0);
    expect(() => limits.admit("a", at(59))).toThrow(expect.objectContaining(busy));
    limits.admit("b", at(59)).left();
    limits.admit("a", at(61)).opened();
  });
  test("those that open are not counted, however many", () => {
    const limits = peerLimits();
    for (let n = 0; n < 900; n += 1) open(limits, 0);
    fail(limits, 19, 0);
    open(limits, 0);
  });
  test("a thousand in one second", () => {
    const limits = peerLimits();
    for (let n = 0; n < 1000; n += 1) open(limits, 0);
    expect(() => limits.admit("a", at(0))).toThrow(expect.objectContaining(busy));
    open(limits, 1);
  });
});
