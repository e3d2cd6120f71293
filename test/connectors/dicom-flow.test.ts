/** The queue behind a C-STORE: what is pushed may be wiped at once, what is read is good until the next piece is asked for. */
import { expect, test } from "vitest";
import { openBudget, openFlow } from "../../connectors/dicom/flow.ts";
import { openPduReader } from "../../connectors/dicom/pdu.ts";
import { openScan } from "../../formats/dicom-scan.ts";
import { octets } from "../envelope/people.ts";

const highWater = 2_000_000;
const flowOf = (resume = (): void => undefined) => openFlow(highWater, resume, openBudget(10 * highWater));
/** Chunks of a memory that is wiped when the next one comes. */
function* wiped(bytes: Uint8Array, step: number): Generator<Buffer> {
  for (let at = 0; at < bytes.length; at += step) {
    const chunk = Buffer.from(bytes.subarray(at, at + step));
    yield chunk;
    chunk.fill(0);
  }
}

test.each([1, 1_000, 262_144, 262_145, 1_500_000])("%i octets pass through memory that is used again", async (size) => {
  const bytes = octets(size, size);
  for (let round = 0; round < 3; round += 1) {
    const flow = flowOf();
    for (const chunk of wiped(bytes, 65_521)) flow.push(chunk);
    flow.end();
    const pieces: Uint8Array[] = [];
    for await (const piece of flow.body) {
      pieces.push(Uint8Array.from(piece));
      piece.fill(0);
    }
    expect(Buffer.compare(Buffer.concat(pieces), bytes)).toBe(0);
    expect(pieces).toHaveLength(Math.ceil(size / 262_144));
  }
});

test("two bodies at once never share memory, though one of them is cut off", async () => {
  const [one, other] = [flowOf(), flowOf()];
  const [first, second] = [octets(600_000, 1), octets(600_000, 2)];
  one.push(first);
  const reader = one.body[Symbol.asyncIterator]();
  const { value: piece } = await reader.next();
  other.push(second);
  one.discard();
  const third = flowOf();
  third.push(octets(600_000, 3));
  other.end();
  const pieces: Uint8Array[] = [];
  for await (const each of other.body) pieces.push(Uint8Array.from(each));
  expect(piece).toHaveLength(262_144);
  expect(Buffer.compare(Buffer.concat(pieces), second)).toBe(0);
});

test("a reader that waits is given what there is when no more may come before it is taken", async () => {
  const resumed: string[] = [];
  const flow = openFlow(1_000, () => void resumed.push("resumed"), openBudget(10_000));
  const reader = flow.body[Symbol.asyncIterator]();
  const asked = reader.next();
  expect(flow.push(octets(999, 1))).toBe(true);
  expect(flow.push(octets(1, 2))).toBe(false);
  expect((await asked).value).toHaveLength(1_000);
  expect(resumed).toEqual(["resumed"]);
});

test("a PDU reader and a scan keep nothing of a chunk", () => {
  const controls: Buffer[] = [];
  const associate = Buffer.concat([Buffer.from([1, 0, 0, 0, 0, 8]), Buffer.from("abcdefgh")]);
  const read = openPduReader(1_000, { control: (_type, body) => void controls.push(body), fragment: () => undefined });
  for (const chunk of wiped(associate, 3)) read(chunk);
  expect(controls.map(String)).toEqual(["abcdefgh"]);
  // Study date (0008,0020) DA of 8 octets, explicit VR little endian.
  const element = Buffer.concat([Buffer.from([8, 0, 0x20, 0, 0x44, 0x41, 8, 0]), Buffer.from("20260116")]);
  const scan = openScan("1.2.840.10008.1.2.1");
  for (const chunk of wiped(element, 3)) scan.push(chunk);
  expect(String(Buffer.from(scan.finish().get(0x00080020) ?? []))).toBe("20260116");
});
