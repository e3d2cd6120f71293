/** A manifest and its signature as one value. */
import { expect, test } from "vitest";
import { packSigned, unpackSigned } from "../../envelope/signed-manifest.ts";

test("is given back as it was kept, and not when it was cut short", () => {
  const [manifest, signature] = [Buffer.from('{"a":1}'), Buffer.from([0, 1, 2])];
  const packed = packSigned({ manifest, signature });
  expect(unpackSigned(packed)).toEqual({ manifest, signature });
  for (const length of [0, 3, 10])
    expect(() => unpackSigned(packed.subarray(0, length))).toThrow(expect.objectContaining({ code: "STORE_DAMAGED" }));
});
