/** A house whose key to sign was stolen, as docs/certificates.md has it: what the registry has dated before stays readable, under the old certificate alone. */
import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { pkiCommand, revoke } from "../../commands/pki/index.ts";
import { adtFor, cda, chen, mdmFor } from "../fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";

let exchange: TestExchange;
afterEach(() => exchange.close());

const sites = ["hospital-a", "hospital-b", "registry"] as const;
const report = cda({
  form: "113",
  extension: "STOLEN.1",
  patient: chen,
  code: "11502-2",
  display: "x",
  title: "t",
  body: "x",
});

/** Registered before the theft, asked for after it. */
async function askedAfter(forget: boolean): Promise<void> {
  const pki = await testPki();
  const own = (name: string): string => join(pki, "hospital-a", name);
  exchange = await openExchange(pki);
  await exchange.message(mdmFor(report, { controlId: "M1" }));
  await exchange.registered(1);
  // A list of revocations tells the second: what was registered within it counts as after it.
  const second = Math.floor(Date.now() / 1000);
  await until("the second of the registration is over", () => Date.now() / 1000 >= second + 1);
  for (const site of sites) await exchange.stop(site);
  revoke(pki, readFileSync(own("sign.crt"), "utf8"), new Date());
  rmSync(own("sign.key"));
  const semrs = (...words: string[]) => pkiCommand().parseAsync(words, { from: "user" });
  await semrs("csr", join(pki, "hospital-a"), "--site", "hospital-a");
  await semrs("issue", pki, own("sign.csr"));
  if (forget) rmSync(own("sign.crt.previous"));
  for (const site of sites.toReversed()) await exchange.start(site);
  await exchange.message(adtFor(`${chen.national}^^^MOI^NI`), "B_ADT");
}

test("it reaches HIS B where sign.crt.previous still has it, revoked", async () => {
  await askedAfter(false);
  await exchange.messagesAtB(1);
});

test("nobody opens it where that was taken out", async () => {
  await askedAfter(true);
  const retrieval = async () =>
    (
      await exchange
        .admin("hospital-b")
        .get<{ deliveries: { kind: string; state: string; reason: string }[] }>("/journal")
    ).deliveries.find(({ kind, state }) => kind === "retrieve" && state === "parked");
  await until("it is parked", async () => (await retrieval()) !== undefined);
  expect((await retrieval())?.reason).toMatch(/certificate/);
});
