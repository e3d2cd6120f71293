/** Checkpoints of a log and the public documents: SignedData of their own content types, read strictly. */
import { describe, expect, test } from "vitest";
import { checkpointContentType, directoryContentType } from "../../envelope/algorithms.ts";
import { readCheckpoint, signCheckpoint } from "../../envelope/checkpoint.ts";
import {
  maxDirectoryBytes,
  type PublicDocument,
  readPublic,
  signPublic,
  writePublic,
} from "../../envelope/directory.ts";
import { signAttached } from "../../envelope/signed-data.ts";
import { now, registry } from "./parties.ts";
import { flipped } from "./samples.ts";

const checkpoint = { org: "registry", seq: 4711, head: "5d".repeat(32), at: "2026-05-04T12:00:00Z" };
const directory: PublicDocument<"participants"> = {
  document: "participants",
  by: "registry",
  participants: [
    {
      org: "a",
      name: "Hospital A",
      address: "https://a.example:8441",
      roles: ["repository"],
      profiles: ["semrs-2"],
      certificates: { sign: ["AAAA"], decrypt: ["AAAA"], tls: [] },
    },
  ],
};
const signed = (value: unknown, contentType: string): Promise<Uint8Array> =>
  signAttached(Buffer.from(JSON.stringify(value)), contentType, registry.signer, now);
const refused = (why: RegExp) =>
  expect.objectContaining({ name: "Fault", code: "ENVELOPE_NOT_OPENED", message: expect.stringMatching(why) });
const refusal = (read: () => unknown): unknown => {
  try {
    return read();
  } catch (thrown) {
    return thrown;
  }
};

describe("a checkpoint", () => {
  test("says where the log stood, and who signed it", async () => {
    const read = readCheckpoint(await signCheckpoint(checkpoint, registry.signer, now));
    expect(read.checkpoint).toEqual(checkpoint);
    expect(Buffer.from(read.signer)).toEqual(Buffer.from(registry.signer.certificate));
  });

  test("is refused with a bit changed anywhere", async () => {
    const bytes = await signCheckpoint(checkpoint, registry.signer, now);
    for (let at = 0; at < bytes.length; at += 11)
      expect(
        refusal(() => readCheckpoint(flipped(bytes, at)).checkpoint),
        `octet ${at}`,
      ).toEqual(refused(/./));
  });

  test.each([
    ["a head that is none", { ...checkpoint, head: "5d" }, checkpointContentType, /checkpoint: not valid/],
    ["a member that is unknown", { ...checkpoint, more: 1 }, checkpointContentType, /checkpoint: not valid/],
    ["another kind of document", checkpoint, directoryContentType, /content type/i],
  ])("%s is refused", async (_name, value, contentType, why) => {
    const bytes = await signed(value, contentType);
    expect(refusal(() => readCheckpoint(bytes))).toEqual(refused(why));
  });

  test("one over 64 KiB is not looked at", () => {
    expect(refusal(() => readCheckpoint(new Uint8Array(64 * 1024 + 1)))).toEqual(refused(/over 65536 octets/));
  });
});

describe("the directory", () => {
  test("says who takes part, and who signed it", async () => {
    const read = readPublic(
      "participants",
      await signPublic(writePublic("participants", directory), registry.signer, now),
    );
    expect(read.document).toEqual(directory);
    expect(Buffer.from(read.signer)).toEqual(Buffer.from(registry.signer.certificate));
  });

  test.each([
    [
      "a role that is none",
      { ...directory, participants: [{ ...directory.participants[0], roles: ["king"] }] },
      /at participants\.0\.roles\.0/,
    ],
    ["a member that is unknown", { ...directory, more: 1 }, /at its top/],
    ["the document of a house", { ...directory, document: "house" }, /at document/],
  ])("%s is refused, and where it is", async (_name, value, why) => {
    const bytes = await signed(value, directoryContentType);
    expect(refusal(() => readPublic("participants", bytes))).toEqual(refused(why));
  });

  test("one over 64 MiB is not looked at", () => {
    expect(refusal(() => readPublic("participants", new Uint8Array(maxDirectoryBytes + 1)))).toEqual(
      refused(/over 67108864 octets/),
    );
  });
});
