/** What a partner cannot open is never final: parked with what to compare, and sealed anew for its next certificate. */
import { cpSync, existsSync, mkdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Traced } from "../../commands/journal/trace.ts";
import { initPki } from "../../commands/pki/index.ts";
import { pemToDer } from "../../envelope/certificate.ts";
import type { Reloaded } from "../../pipeline/reload.ts";
import { cda, chen, mdmFor } from "../fixtures/documents.ts";
import { openExchange, sha256, type TestExchange, testPki, until } from "../sites.ts";
import { read } from "./peer.ts";

let pki: string;
let exchange: TestExchange;
/** Hospital B as hospital A knows it: with a decryption certificate that is not hospital B's any more. */
let known: string;
beforeAll(async () => {
  pki = await testPki();
  await initPki(pki, ["former-b"], { now: new Date() });
  known = join(pki, "known-b");
  mkdirSync(known);
  for (const name of ["sign", "tls"]) cpSync(join(pki, "hospital-b", `${name}.crt`), join(known, `${name}.crt`));
  certify("former-b");
  exchange = await openExchange(pki, { RETRY: "100ms" }, (yaml) =>
    yaml
      .replaceAll("route: [repository]", "route: [repository, hospital-b]")
      .replace(/(certificates: "[^"]*)\/hospital-b"/, '$1/known-b"'),
  );
});
afterAll(() => exchange.close());

const certify = (house: string): void => cpSync(join(pki, house, "decrypt.crt"), join(known, "decrypt.crt"));
const report = (extension: string): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });
const pushOf = async (id: string) =>
  (await exchange.admin("hospital-a").get<Traced>(`/trace/${id}`)).deliveries.find(({ kind }) => kind === "push");
const parked = (id: string): Promise<void> => until("parked", async () => (await pushOf(id))?.state === "parked");
const reload = (): Promise<Reloaded> => exchange.admin("hospital-a").post<Reloaded>("/reload", {});
const atHisB = (extension: string): Promise<void> =>
  until("the document at HIS B", () => exchange.documentsAtB().has(sha256(report(extension))));

test("PEER_UNOPENABLE: parked, with the certificate to compare; a reload with the same one changes nothing, with the next one all goes out", async () => {
  await exchange.message(mdmFor(report("U.1"), { controlId: "U1" }));
  await exchange.message(mdmFor(report("U.2"), { controlId: "U2" }));
  await parked("U1");
  await parked("U2");
  const [der = new Uint8Array()] = pemToDer(read(join(pki, "former-b"), "decrypt.crt"));
  const delivery = await pushOf("U1");
  expect(delivery?.code).toBe("PEER_UNOPENABLE");
  expect(delivery?.reason).toBe(
    `hospital-b cannot open what is sealed for its decrypt.crt ${sha256(der).slice(0, 16)}: compare that and our sign.crt with it, profiles and clocks; its log has the cause`,
  );
  expect(
    exchange.log.some(
      ({ site, fields }) => site === "hospital-b" && fields.reason === "part 4: no RecipientInfo is for a key of ours",
    ),
  ).toBe(true);

  expect((await reload()).changed).toEqual([]);
  expect((await pushOf("U1"))?.state).toBe("parked");

  certify("hospital-b");
  expect((await reload()).changed).toEqual(["certificates of hospital-b"]);
  await atHisB("U.1");
  await atHisB("U.2");
  await until("delivered", async () => (await pushOf("U1"))?.state === "delivered");
  const { steps } = await exchange.admin("hospital-a").get<Traced>("/trace/U1");
  expect(steps.filter(({ event }) => event === "renewed").length).toBe(1);
});

test("a start with the next certificate does the same; a certificate that is wrong changes nothing", async () => {
  certify("former-b");
  await reload();
  await exchange.message(mdmFor(report("U.3"), { controlId: "U3" }));
  await parked("U3");
  rmSync(join(known, "decrypt.crt"));
  await expect(reload()).rejects.toMatchObject({ code: "CONFIG_INVALID" });
  expect(existsSync(join(known, "decrypt.crt"))).toBe(false);
  certify("hospital-b");
  await exchange.stop("hospital-a");
  await exchange.start("hospital-a");
  await atHisB("U.3");
});
