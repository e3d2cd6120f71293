/** What is kept of certificates and lists that were read: whoever sends them chooses how many and how large they are. */
import { randomBytes } from "node:crypto";
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { expect, test } from "vitest";
import { readCertificate } from "../../envelope/certificate.ts";
import { readCrl } from "../../envelope/crl.ts";
import { certify, holder, list, signerExtras } from "./certificates.ts";

const house = holder("hospital-a");

test("a certificate that was read is known again, without the message around it", () => {
  const certificate = certify(house, house, signerExtras);
  const message = Buffer.concat([Buffer.alloc(1 << 20), certificate]);
  const known = readCertificate(message.subarray(1 << 20));
  expect(readCertificate(certificate)).toBe(known);
  const octets = [known.raw, known.tbs, known.signature, ...known.extensions.map(({ value }) => value)];
  for (const { buffer } of octets) expect(buffer.byteLength).toBe(certificate.length);
});

test("one of a mebibyte is read, and not kept", () => {
  const certificate = certify(house, house, [...signerExtras, ["1.2.3.4", randomBytes(1 << 20)]]);
  const read = readCertificate(certificate);
  expect(read.serial).not.toBe("");
  expect(readCertificate(certificate)).not.toBe(read);
});

test("a revocation list is known again while somebody has it, and not for longer", async () => {
  setFlagsFromString("--expose-gc");
  const collect = runInNewContext("gc") as () => void;
  const read = (): WeakRef<object> => {
    const held = list(house);
    expect(readCrl(held)).toBe(readCrl(held));
    return new WeakRef(readCrl(held));
  };
  const gone = read();
  // What is asked of a reference holds it until the turn has ended.
  await new Promise((resolve) => setImmediate(resolve));
  collect();
  expect(gone.deref()).toBeUndefined();
});
