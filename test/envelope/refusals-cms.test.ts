/** What is refused in the frame of a part. */
import { describe } from "vitest";
import { wrapFor } from "../../envelope/recipient.ts";
import { replaced } from "./forge.ts";
import { b } from "./parties.ts";
import { check, inPart } from "./refusals.ts";
import { flipped, mebibyte, octets } from "./samples.ts";

const at = {
  version: 21,
  recipients: 22,
  kekVersion: 28,
  kekId: 33,
  wrapOid: 51,
  wrap: 64,
  contentOid: 108,
  cipherOid: 121,
  nonceLength: 133,
  icv: 148,
  segment: 151,
} as const;

describe("CMS", () => {
  check(
    {
      "23 trailing octets in part 5": inPart(5, (octets) => Buffer.concat([octets, Uint8Array.of(0)])),
      "23 trailing octets in part 4": inPart(4, (octets) => Buffer.concat([octets, Uint8Array.of(0)])),
      "24 two ContentInfos": inPart(5, (octets) => Buffer.concat([octets, octets])),
      "25 a truncated part": inPart(5, (octets) => octets.subarray(0, -7)),
      "25 a truncated head": inPart(1, (octets) => octets.subarray(0, 100)),
      "25 an empty part": inPart(2, () => octets(0)),
      "26 a constructed segment": inPart(5, (octets) => replaced(octets, at.segment, [0x24])),
      "27 a length of 2^40": inPart(5, (octets) => replaced(octets, at.segment + 1, [0x85, 1, 0, 0, 0, 0], 3)),
      "27 a length that is not minimal": inPart(5, (octets) => replaced(octets, at.segment + 1, [0x83, 0, 1, 0xf4], 3)),
      "28 a segment over a mebibyte": {
        ...inPart(5, (octets) => replaced(octets, at.segment + 2, [0x20, 0, 1])),
        sizes: [2 * mebibyte],
      },
      "28 an empty segment": inPart(5, (octets) => replaced(octets, at.segment, [4, 0], 0)),
      "28 short segments in the middle": inPart(5, (octets) =>
        Buffer.concat([
          octets.subarray(0, 151),
          Uint8Array.of(4, 10),
          octets.subarray(155, 165),
          Uint8Array.of(4, 0x82, 1, 0xea),
          octets.subarray(165),
        ]),
      ),
      "30 a nonce of 8 octets": inPart(5, (octets) => replaced(octets, at.nonceLength, [8])),
      "31 ICVlen 12": inPart(5, (octets) => replaced(octets, at.icv - 2, [2, 1, 12])),
      "31 a tag of 12 octets": inPart(5, (octets) =>
        Buffer.concat([octets.subarray(0, -23), Uint8Array.of(12), octets.subarray(-22, -10), octets.subarray(-6)]),
      ),
      "32 AES-256-CBC in AuthEnvelopedData": inPart(5, (octets) =>
        replaced(octets, octets.indexOf("60864801650304012e", "hex") + 8, [0x2a]),
      ),
      "32 EnvelopedData": inPart(5, (octets) => replaced(octets, 4, Buffer.from("2a864886f70d010703", "hex"), 11)),
      "34 another wrap algorithm": inPart(5, (octets) =>
        replaced(octets, octets.indexOf("60864801650304012d", "hex") + 8, [0x19]),
      ),
      "35 a kekid that is not the envelope's id": inPart(5, (octets) => flipped(octets, at.kekId)),
      "36 no RecipientInfo": { recipients: () => [] },
      "36 a thousand RecipientInfos": { recipients: ([info = octets(1)]) => Array.from({ length: 1000 }, () => info) },
      "36 the same RecipientInfo twice": {
        recipients: ([info = octets(1)]) => [info, info],
        cause: /^part 4: more than one/,
      },
      "36 two of our keys": {
        recipients: async ([info = octets(1)], cek) => [info, await wrapFor(b.unwrapper.certificate, cek)],
        cause: /^part 4: more than one/,
      },
      "37 a password RecipientInfo": {
        recipients: () => [Buffer.from("a30c020100300506032b65700400", "hex")],
        cause: /^part 4: /,
      },
      "37 octets that are no RecipientInfo": { recipients: () => [Buffer.from("30020400", "hex")], cause: /^part 4: / },
      "37 a RecipientInfo that is cut short": { recipients: ([info = octets(1)]) => [info.subarray(0, -1)] },
      "41 AuthEnvelopedData of version 1": inPart(5, (octets) => flipped(octets, at.version)),
      "41 KEKRecipientInfo of version 5": inPart(5, (octets) => flipped(octets, at.kekVersion)),
    },
    "ENVELOPE_NOT_OPENED",
    /^CMS: /,
  );
});
