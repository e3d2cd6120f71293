/** What is refused because octets are not those that were signed. */
import { describe, expect, test } from "vitest";
import { sealHeader } from "../../envelope/headers.ts";
import { type Forged, type Forgery, forge } from "./forge.ts";
import { changed, check, inPart, openAll, type Table } from "./refusals.ts";
import { flipped, instance, mebibyte, octets } from "./samples.ts";

const flips = (n: number, places: Readonly<Record<string, (octets: Buffer) => number>>): Table =>
  Object.fromEntries(
    Object.entries(places).map(([where, place]) => [
      `42 a bit flipped in part ${n}: ${where}`,
      { ...inPart(n, (octets) => flipped(octets, place(octets))), sizes: [2 * mebibyte + 500] },
    ]),
  );
const somewhere = {
  "key wrap": () => 80,
  nonce: () => 140,
  "first octet": () => 156,
  tag: (octets: Buffer) => octets.length - 10,
};

describe("content", () => {
  check(
    {
      ...flips(1, somewhere),
      ...flips(2, somewhere),
      ...flips(3, somewhere),
      ...flips(5, {
        ...somewhere,
        "middle segment": () => mebibyte + 1000,
        "last segment": (octets) => octets.length - 100,
      }),
      ...flips(4, {
        RecipientInfo: () => 200,
        "last octet of the key": (octets) => octets.length - 29,
        tag: (octets) => octets.length - 10,
      }),
      ...Object.fromEntries(
        [
          "Sender",
          "Receiver",
          "SymmetricAlg",
          "AsymmetricAlg",
          "DistAlg",
          "SignAlg",
          "BodypartCnt",
          "HeaderCnt",
          "MessageType",
        ].flatMap((name) => [
          [
            `42 a bit flipped in X-EEC-${name}`,
            changed(
              `X-EEC-${name}`,
              (value) => `v2.${flipped(Buffer.from(value.slice(3), "base64url"), 30).toString("base64url")}`,
            ),
          ],
          [
            `48 another header's ciphertext in X-EEC-${name}`,
            { headers: (headers) => swapValues(headers, `X-EEC-${name}`) } satisfies Forgery,
          ],
        ]),
      ),
      "42 a bit flipped in X-SEMRS-Id": changed(
        "X-SEMRS-Id",
        (value) => `${value.slice(0, -1)}${value.endsWith("0") ? "1" : "0"}`,
      ),
      "42 a header value that is not canonical base64url": changed("X-EEC-Sender", (value) => `${value}=`),
      "42 a header value of another version": changed("X-EEC-Sender", (value) => value.replace("v2.", "v3.")),
      "42 a header that says something else than was signed": {
        value: (name, value, key) => (name === "X-EEC-MessageType" ? sealHeader(key, name, "113") : value),
      },
      "43 parts 5 and 6 swapped": {
        sizes: [500, 600],
        frames: ([one, two, three, four, five, six]) => pick([one, two, three, four, six, five]),
      },
      "43 parts 5 and 6 of one size swapped": {
        sizes: [mebibyte, mebibyte],
        frames: ([one, two, three, four, five, six]) => pick([one, two, three, four, six, five]),
      },
      "43 parts 2 and 3 swapped": { frames: ([one, two, three, ...rest]) => pick([one, three, two, ...rest]) },
      "44 part 5 twice": {
        sizes: [500, 600],
        frames: ([one, two, three, four, five]) => pick([one, two, three, four, five, five]),
      },
      "45 the last segment dropped": {
        ...inPart(5, (octets) => Buffer.concat([octets.subarray(0, 151 + mebibyte + 5), octets.subarray(-28)])),
        sizes: [mebibyte + 500],
      },
      "46 two segments swapped": {
        ...inPart(5, (octets) => {
          const [one, two] = [
            octets.subarray(151, 151 + mebibyte + 5),
            octets.subarray(151 + mebibyte + 5, 151 + 2 * (mebibyte + 5)),
          ];
          return Buffer.concat([octets.subarray(0, 151), two, one, octets.subarray(-28)]);
        }),
        sizes: [2 * mebibyte],
      },
      ...Object.fromEntries(
        [16, 31, 33].map((size) => [`49 a one-time key of ${size} octets`, { oneTimeKey: octets(size) }]),
      ),
    },
    "ENVELOPE_NOT_OPENED",
    /does not unwrap|tag does not hold|a digest differs|octets than its size|^header X-EEC|one-time key of|the envelope's id|differs from what was signed|trailing octets/,
  );

  test("47 a part spliced from another envelope of the same sender is refused", async () => {
    const other: Uint8Array[] = [];
    await forge({
      frames: (frames) => {
        other.push(...frames.slice(4));
        return frames;
      },
    });
    const spliced = await forge({ frames: (frames) => [...frames.slice(0, 4), ...other] });
    await expect(openAll(spliced)).rejects.toMatchObject({ code: "ENVELOPE_NOT_OPENED" });
  });

  test("47 part 2, 3 and 4 of another envelope under this one's headers are refused", async () => {
    const other = await forge({});
    const forged = await forge({ body: () => other.body });
    await expect(openAll(forged)).rejects.toMatchObject({ code: "ENVELOPE_NOT_OPENED" });
  });

  test("65 a part with more octets than were signed is refused before they are released", async () => {
    const longer = await instance(octets(mebibyte + 500), "1.2.3.1");
    const forged = await forge({ content: ([first]) => (first ? [first, longer] : []) });
    await expect(openAll(forged)).rejects.toMatchObject({ code: "ENVELOPE_NOT_OPENED" });
  });
});

const pick = (frames: readonly (Uint8Array | undefined)[]): readonly Uint8Array[] =>
  frames.filter((frame) => frame !== undefined);
function swapValues(headers: Forged["headers"], name: string): Forged["headers"] {
  const other = name === "X-EEC-Sender" ? "X-EEC-Receiver" : "X-EEC-Sender";
  const value = (wanted: string): string => headers.find(([each]) => each === wanted)?.[1] ?? "";
  return headers.map(([each, own]): [string, string] => [
    each,
    each === name ? value(other) : each === other ? value(name) : own,
  ]);
}
