/** Revocation lists while a site runs: renewed from files and by HTTP, kept for a start without network, never replaced by worse ones. */

import { once } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { initPki, revoke } from "../../commands/pki/index.ts";
import { oids } from "../../envelope/algorithms.ts";
import { derToPem, pemToDer } from "../../envelope/certificate.ts";
import { integer } from "../../envelope/cms/der.ts";
import { validatePath } from "../../envelope/index.ts";
import { codeOf } from "../../errors.ts";
import { openRevocation, type Revocation } from "../../exchange/revocation.ts";
import { authorityExtras, certify, type Extra, holder, list, period } from "../envelope/certificates.ts";
import { authority } from "../envelope/parties.ts";

let pki: string;
let served: { status: number; body: Buffer | string };
let url: string;
let told: string[];
const stops: (() => unknown)[] = [];
const text = (name: string): string => readFileSync(join(pki, name), "utf8");
const der = (name: string, label = "CERTIFICATE"): Uint8Array => pemToDer(text(name), label)[0] ?? new Uint8Array();

beforeEach(async () => {
  pki = mkdtempSync(join(tmpdir(), "semrs-revocation-"));
  // Ten minutes ago, so that a list made now is newer.
  await initPki(pki, ["hospital-a"], { now: new Date(Date.now() - 600_000) });
  served = { status: 200, body: text("ca.crl") };
  told = [];
  const server = createServer((_request, response) => void response.writeHead(served.status).end(served.body)).listen(
    0,
    "127.0.0.1",
  );
  await once(server, "listening");
  stops.push(() => server.close());
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/ca.crl`;
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function opened(source: string, anchors = [der("ca.crt")], now = () => new Date()): Promise<Revocation> {
  const revocation = await openRevocation({
    sources: [source],
    trust: { anchors, revocation: "require" },
    folder: join(pki, "kept"),
    renewMs: 3_600_000,
    now,
    log: (event) => void told.push(event),
  });
  stops.push(() => revocation.stop());
  return revocation;
}
const verdict = ({ trust }: Revocation): string => {
  try {
    validatePath(der("hospital-a/sign.crt"), [], trust(), new Date());
    return "valid";
  } catch (thrown) {
    return codeOf(thrown);
  }
};
const revokeNow = (): void => revoke(pki, text("hospital-a/sign.crt"), new Date());

test.each(["a file", "an address", "an address in DER"])(
  "%s: a certificate that is revoked while the site runs counts no more, at once",
  async (kind) => {
    const body = (): Buffer | string =>
      kind === "an address in DER" ? Buffer.from(der("ca.crl", "X509 CRL")) : text("ca.crl");
    served = { status: 200, body: body() };
    const revocation = await opened(kind === "a file" ? join(pki, "ca.crl") : url);
    expect(verdict(revocation)).toBe("valid");
    revokeNow();
    served = { status: 200, body: body() };
    expect(verdict(revocation)).toBe("valid");
    await revocation.renew();
    expect(verdict(revocation)).toBe("CERTIFICATE_INVALID");
  },
);

test("an authority that does not answer: the list in force stays, told once, and a start without it takes the one that was kept", async () => {
  const revocation = await opened(url);
  served = { status: 503, body: "" };
  await revocation.renew();
  await revocation.renew();
  expect(verdict(revocation)).toBe("valid");
  expect(told).toEqual(["revocation.unrenewed"]);
  expect(verdict(await opened(url))).toBe("valid");
  served = { status: 200, body: text("ca.crl") };
  await revocation.renew();
  expect(told.at(-1)).toBe("revocation.renewed");
  served = { status: 404, body: "" };
  rmSync(join(pki, "kept"), { recursive: true });
  await expect(opened(url)).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
});

test("a list that cannot be kept on the disk is in force all the same, told once", async () => {
  const revocation = await opened(url);
  rmSync(join(pki, "kept"), { recursive: true });
  writeFileSync(join(pki, "kept"), "no folder");
  revokeNow();
  served = { status: 200, body: text("ca.crl") };
  await revocation.renew();
  await revocation.renew();
  expect(verdict(revocation)).toBe("CERTIFICATE_INVALID");
  expect(told).toEqual(["revocation.unkept"]);
});

test("an older list, one of another signer, and what is none do not take the place of the one in force", async () => {
  const older = text("ca.crl");
  revokeNow();
  served = { status: 200, body: text("ca.crl") };
  const revocation = await opened(url);
  expect(verdict(revocation)).toBe("CERTIFICATE_INVALID");
  const other = mkdtempSync(join(tmpdir(), "semrs-other-"));
  await initPki(other, [], { now: new Date() });
  const changed = Buffer.from(der("ca.crl", "X509 CRL"));
  changed[changed.length - 5] = (changed[changed.length - 5] ?? 0) ^ 1;
  for (const body of [
    older,
    readFileSync(join(other, "ca.crl"), "utf8"),
    Buffer.from(authority("somebody-else").crl()),
    changed,
    "<html>",
    Buffer.alloc(17 << 20, 0x30),
  ]) {
    served = { status: 200, body };
    await revocation.renew();
    expect(verdict(revocation)).toBe("CERTIFICATE_INVALID");
    expect(revocation.trust().crls).toEqual([der("ca.crl", "X509 CRL")]);
  }
  writeFileSync(join(pki, "none.crl"), "nothing");
  await expect(opened(join(pki, "none.crl"))).rejects.toMatchObject({ code: "CONFIG_INVALID" });
});

/** Lists of two authorities, and delta lists, as of a day of the year. */
const [first, second] = [holder("first"), holder("second")];
const anchors = [first, second].map((each) => certify(each, each, authorityExtras()));
const day = (count: number): Date => new Date(period.notBefore.getTime() + count * 24 * 3600 * 1000);
const complete = (of: typeof first, at: number): Uint8Array => list(of, [], [], [], day(at));
const delta = (at: number): Uint8Array => {
  const numbers: readonly Extra[] = [
    [oids.deltaCrlIndicator, integer(1), true],
    [oids.crlNumber, integer(at)],
  ];
  return list(first, [], numbers, [], day(at));
};
const inOne = (...lists: readonly Uint8Array[]): string => lists.map((each) => derToPem(each, "X509 CRL")).join("");

test("whoever answers in the place of two authorities does not get to an older list of one by way of the other's", async () => {
  let today = day(10);
  served = { status: 200, body: inOne(complete(first, 5)) };
  const revocation = await opened(url, anchors, () => today);
  const inForce = revocation.trust().crls;
  for (const body of [inOne(complete(second, 9)), inOne(complete(first, 4)), inOne(complete(first, 4))]) {
    served = { status: 200, body };
    await revocation.renew();
    expect(revocation.trust().crls).toEqual(inForce);
  }
  served = { status: 200, body: inOne(complete(first, 6), complete(second, 9)) };
  await revocation.renew();
  expect(revocation.trust().crls).toHaveLength(2);
  // One that has ended need not be followed by another.
  today = new Date(period.notAfter.getTime() + 1);
  served = { status: 200, body: inOne(complete(first, 7)) };
  await revocation.renew();
  expect(revocation.trust().crls).toHaveLength(1);
});

test("a delta list is renewed though the complete one that it builds on is older than the last", async () => {
  const whole = complete(first, 1);
  served = { status: 200, body: inOne(whole, delta(2)) };
  const revocation = await opened(url, anchors, () => day(3));
  const newer = delta(3);
  served = { status: 200, body: inOne(whole, newer) };
  await revocation.renew();
  expect(revocation.trust().crls.map((each) => Buffer.from(each).equals(newer))).toEqual([false, true]);
  expect(told).toEqual([]);
  served = { status: 200, body: inOne(whole, delta(2)) };
  await revocation.renew();
  expect(revocation.trust().crls.map((each) => Buffer.from(each).equals(newer))).toEqual([false, true]);
});
