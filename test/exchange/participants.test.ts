/** The signed directory and what a house says of itself: fetched by anybody with a certificate of the authority, verified by OpenSSL. */
import { execFileSync } from "node:child_process";
import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { verified } from "../../commands/participants/directory.ts";
import { getFrom } from "../../commands/partner-get.ts";
import { initPki } from "../../commands/pki/index.ts";
import { pemToDer, readCertificate } from "../../envelope/certificate.ts";
import { readPublic, signPublic, writePublic } from "../../envelope/index.ts";
import { semrs } from "../commands/cli.ts";
import { peer } from "../peers.ts";
import { openExchange, type TestExchange, testPki } from "../sites.ts";
import { inPlace } from "./in-place.ts";
import { peerOf, read } from "./peer.ts";

let pki: string;
let exchange: TestExchange;
beforeAll(async () => {
  pki = await testPki();
  await initPki(pki, ["hospital-c"], { now: new Date() });
  exchange = await openExchange(pki);
});
afterAll(() => exchange.close());

const fingerprint = (org: string, name: string): string =>
  readCertificate(pemToDer(read(join(pki, org), name))[0] ?? new Uint8Array()).sha256;
/** By a house that no one has listed. */
const get = (port: "REGISTRY_PORT" | "B_PORT", path: string, headers: Readonly<Record<string, string>> = {}) => {
  const keys = join(pki, "hospital-c");
  const tls = { key: read(keys, "tls.key"), certificate: read(keys, "tls.crt"), ca: read(pki, "ca.crt") };
  const pinned = fingerprint(port === "B_PORT" ? "hospital-b" : "registry", "tls.crt");
  return getFrom(`https://127.0.0.1:${exchange.env[port]}`, path, tls, { pinned, maxBytes: 1_000_000, headers });
};
const participants = (...args: string[]) =>
  semrs(["participants", ...args, "--config", join(exchange.folder, "hospital-a.yaml")], {
    env: { ...exchange.env, SITE: "hospital-a" },
  });

test("everybody with names, addresses, roles, profiles and certificates; nothing secret; 304 while it says the same", async () => {
  const { status, headers, body } = await get("REGISTRY_PORT", "/semrs/v1/participants");
  expect(status).toBe(200);
  expect(headers["content-type"]).toContain("application/pkcs7-mime");
  const { document } = readPublic("participants", body);
  expect(document.by).toBe("registry");
  expect(document.participants.map(({ org, roles }) => [org, roles])).toEqual([
    ["registry", ["registry"]],
    ["hospital-a", ["repository"]],
    ["hospital-b", ["repository"]],
  ]);
  const b = document.participants.find(({ org }) => org === "hospital-b");
  expect(b).toMatchObject({ address: `https://127.0.0.1:${exchange.env.B_PORT}`, profiles: ["semrs-2"] });
  for (const name of ["sign", "decrypt", "tls"] as const)
    expect(b?.certificates[name].map((each) => readCertificate(Buffer.from(each, "base64")).sha256)).toEqual([
      fingerprint("hospital-b", `${name}.crt`),
    ]);
  expect(body.toString("latin1")).not.toMatch(/PRIVATE|storage|admin/);

  const etag = String(headers.etag);
  const again = await get("REGISTRY_PORT", "/semrs/v1/participants", { "If-None-Match": etag });
  expect([again.status, again.body.length]).toEqual([304, 0]);
  expect((await get("B_PORT", "/semrs/v1/participants")).status).toBe(404);
});

test("a house says what it serves, its limits and its version", async () => {
  const { document } = readPublic("house", (await get("B_PORT", "/.well-known/semrs")).body);
  expect(document.house).toMatchObject({ org: "hospital-b", roles: ["repository"] });
  expect(document.limits).toMatchObject({ parts: 25_000, entries: 200 });
  expect(document.resources).toContainEqual({ path: "/repository/documents", purposes: ["push", "notify"] });
  expect(document.resources).toContainEqual({ path: "/repository/relations", purposes: ["notify"] });
  const shown = await participants("show", "hospital-b");
  expect(shown).toMatchObject({ exit: 0, err: expect.stringMatching(/^signed by hospital-b at 2/) });
  expect(shown.out).toMatch(/^\/repository\/retrievals +retrieve$/m);
});

const { available, reason } = peer("openssl");
test.skipIf(!available)(
  `OpenSSL verifies what was kept, and refuses it when an octet is another ${reason}`,
  async () => {
    const file = join(exchange.folder, "participants.p7m");
    expect(await participants("list", "--out", file)).toMatchObject({
      exit: 0,
      out: expect.stringMatching(/^hospital-b +repository +https/m),
    });
    const verify = (path: string): string =>
      execFileSync(
        "openssl",
        ["cms", "-verify", "-binary", "-inform", "DER", "-in", path, "-CAfile", join(pki, "ca.crt"), "-purpose", "any"],
        { stdio: "pipe" },
      ).toString();
    expect(JSON.parse(verify(file))).toMatchObject({ document: "participants", by: "registry" });
    const octets = readFileSync(file);
    const at = octets.indexOf("hospital-b");
    octets[at] = (octets[at] ?? 0) ^ 1;
    writeFileSync(`${file}.changed`, octets);
    expect(() => verify(`${file}.changed`)).toThrow();
    expect(() => readPublic("participants", octets)).toThrow(expect.objectContaining({ code: "ENVELOPE_NOT_OPENED" }));
  },
);

test("a directory that another house signed, in the registry's place, is not taken", async () => {
  const peers = peerOf(pki, exchange.env.B_PORT);
  const octets = writePublic("participants", { document: "participants", by: "registry", participants: [] });
  const forged = await signPublic(octets, peers.signer("hospital-a"), new Date());
  const anchors = pemToDer(read(pki, "ca.crt"));
  expect(() => verified("participants", forged, [fingerprint("registry", "sign.crt")], anchors)).toThrow(
    /not the partner's sign\.crt/,
  );
  const leave = await inPlace(
    pki,
    () => exchange.stop("registry"),
    "registry",
    exchange.env.REGISTRY_PORT,
    async () => ({
      status: 200,
      sealed: { headers: [], octets: forged },
    }),
  );
  expect(await participants("verify")).toMatchObject({
    exit: 65,
    err: expect.stringMatching(/not the partner's sign\.crt/),
  });
  await leave();
  await exchange.start("registry");
});

test("a certificate that differs is named by verify and by the doctor, until the registry has it, too", async () => {
  expect(await participants("verify")).toMatchObject({ exit: 0, err: "" });
  const { etag } = (await get("REGISTRY_PORT", "/semrs/v1/participants")).headers;
  // Hospital B has a new key; hospital A has the certificate, the registry has not.
  copyFileSync(join(pki, "hospital-c", "decrypt.crt"), join(pki, "hospital-b", "decrypt.crt"));
  const differing = await participants("verify");
  expect(differing.exit).toBe(1);
  expect(differing.out).toMatch(
    /^hospital-b +decrypt +differs +[0-9a-f]{16} until \S+ in channels\.yaml, [0-9a-f]{16} until/m,
  );
  expect(differing.out).toMatch(/^hospital-b +sign +same/m);
  const doctor = await semrs(["doctor", join(exchange.folder, "hospital-a.yaml")], {
    env: { ...exchange.env, SITE: "hospital-a" },
  });
  expect(doctor.out).toMatch(/^warn directory: decrypt\.crt of hospital-b: /m);

  await exchange.admin("registry").post("/reload", {});
  expect(await participants("verify")).toMatchObject({ exit: 0, err: "" });
  expect((await get("REGISTRY_PORT", "/semrs/v1/participants")).headers.etag).not.toBe(etag);
});
