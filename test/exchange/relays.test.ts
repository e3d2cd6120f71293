/** A partner that hands on what another one has authored: taken where the author's entry lists it, and nowhere else. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Content, type Draft, seal } from "../../envelope/index.ts";
import { bytesOf, contentFrom } from "../envelope/people.ts";
import { cda, chen } from "../fixtures/documents.ts";
import { openExchange, sha256, type TestExchange, testPki, until } from "../sites.ts";
import { type Answer, type Peer, peerOf } from "./peer.ts";

let pki: string;
let exchange: TestExchange;
let peer: Peer;
beforeAll(async () => {
  pki = await testPki();
  exchange = await openExchange(pki, {}, (yaml) =>
    yaml
      .replace(/(certificates: "\$\{PKI:pki\}\/hospital-a") \}/, "$1, relays: [registry] }")
      .replace("{ push: [hospital-a] }", "{ push: [hospital-a, registry] }"),
  );
  peer = peerOf(pki, exchange.env.B_PORT);
});
afterAll(() => exchange.close());

const report = (extension: string): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });

/** What `author` has authored, handed to hospital B by `relay` over its own connection. */
async function relayed(author: string, relay: string, extension: string): Promise<Answer> {
  const content: readonly Content[] = [await contentFrom(report(extension), "cda")];
  const draft: Draft = { ...(await peer.draft()), content };
  const to = [{ org: author, certificate: peer.certificateOf(author) }];
  const { manifest, signature } = await seal(
    { ...draft, purpose: "provide", sender: author, to },
    peer.signer(author),
    new Date(),
  );
  const origin = { manifest, signature, marks: [] };
  const sealed = await seal({ ...draft, sender: relay, origin }, peer.signer(relay), new Date());
  return await peer.post(sealed.headers, await bytesOf(sealed.body()), { as: join(pki, relay) });
}

test("99 a listed relay's record is taken, kept as its author's and delivered", async () => {
  expect(await relayed("hospital-a", "registry", "R.1")).toMatchObject({ status: 201, profile: "semrs-2" });
  await until("the document at HIS B", () => exchange.documentsAtB().has(sha256(report("R.1"))));
  const records = await exchange.admin("hospital-b").get<readonly { author: string }[]>("/records");
  expect(records.map(({ author }) => author)).toEqual(["hospital-a"]);
});

test("99 the other way it is refused as unopenable, and nothing is kept", async () => {
  expect(await relayed("registry", "hospital-a", "R.2")).toMatchObject({ status: 422, profile: undefined });
  expect(exchange.log.some(({ fields }) => fields.reason === "origin: hospital-a is no relay of registry")).toBe(true);
  expect((await exchange.admin("hospital-b").get<readonly object[]>("/records")).length).toBe(1);
});
