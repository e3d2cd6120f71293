/** A program in the place of a house, with that house's own keys: what it answers wrongly, and what it is sent when it fails. */
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { contentOf, type Opened, seal } from "../../envelope/index.ts";
import { unwrapperFrom } from "../../envelope/keys.ts";
import { commandMediaType, writeCommand } from "../../formats/command.ts";
import { adtFor, cda, chen, mdmFor } from "../fixtures/documents.ts";
import { openExchange, sha256, type TestExchange, testPki, until } from "../sites.ts";
import { type Answering, type House, inPlace } from "./in-place.ts";
import { openAtA, type Peer, pairsOf, peerOf, read } from "./peer.ts";

let pki: string;
let exchange: TestExchange;
let peer: Peer;
beforeEach(async () => {
  pki ??= await testPki();
  exchange = await openExchange(pki, { RETRY: "100ms" }, (yaml) =>
    yaml.replaceAll("route: [repository]", "route: [repository, hospital-b]"),
  );
  peer = peerOf(pki, exchange.env.B_PORT);
});
afterEach(() => exchange.close());

const inPlaceOf = (house: House, port: string | undefined, answer: Answering) =>
  inPlace(pki, () => exchange.stop(house), house, port, answer);

const report = (extension: string) =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });

test("79 what waits is sealed anew at each attempt, so that nothing expires in a queue: another id, the same record", async () => {
  const ids: string[] = [];
  const leave = await inPlaceOf("hospital-b", exchange.env.B_PORT, async (request) => {
    ids.push(String(request.headers["x-semrs-id"]));
    await request.resume().toArray();
    return { status: 503 };
  });
  await exchange.message(mdmFor(report("ANEW.1"), { controlId: "M1" }));
  await until("tried three times", () => ids.length >= 3);
  expect(new Set(ids).size).toBe(ids.length);
  await leave();
  await exchange.start("hospital-b");
  await until("the document at HIS B", () => exchange.documentsAtB().has(sha256(report("ANEW.1"))));
  expect(exchange.documentsAtB().size).toBe(1);
});

test("79 a partner that says expired, signed, gets it sealed anew, and nothing is parked", async () => {
  const keys = join(pki, "hospital-b");
  const [self, sender] = ["hospital-b", "hospital-a"];
  const messages: string[] = [];
  const leave = await inPlaceOf("hospital-b", exchange.env.B_PORT, async (request) => {
    const { manifest, manifestSha256 } = await openAtA(pki, pairsOf(request.rawHeaders), request, {
      purposes: ["push"],
      self,
      unwrappers: [unwrapperFrom(read(keys, "decrypt.key"), read(keys, "decrypt.crt"))],
      partner: () => ({ org: sender, profiles: ["semrs-2"] }),
    });
    messages.push(manifest.message);
    const code = "ENVELOPE_EXPIRED";
    const command = writeCommand<"refusal">({ command: "refusal", type: "x", title: "too old", status: 422, code });
    const draft = {
      purpose: "refusal",
      message: "79".repeat(16),
      sender: self,
      messageType: "refusal",
      to: [{ org: sender, certificate: peer.certificateOf(sender) }],
      content: [await contentOf(command, "command", commandMediaType)],
      inReplyTo: manifest.id,
      requestDigest: manifestSha256,
    } as const;
    return { status: 422, sealed: await seal(draft, peer.signer(self), new Date()) };
  });
  await exchange.message(mdmFor(report("OLD.1"), { controlId: "M1" }));
  await until("tried twice", () => messages.length >= 2);
  expect(new Set(messages).size).toBe(1);
  await leave();
  await exchange.start("hospital-b");
  await until("the document at HIS B", () => exchange.documentsAtB().has(sha256(report("OLD.1"))));
  expect(exchange.log.some(({ event }) => event === "route.parked")).toBe(false);
});

/** What hospital B asks of hospital A. */
const opened = (request: IncomingMessage): Promise<Opened> =>
  openAtA(pki, pairsOf(request.rawHeaders), request, { purposes: ["retrieve"] });

test("92 an answer of the right house, bound to the right request, with a document that was not asked for", async () => {
  await exchange.stop("hospital-b");
  await exchange.message(mdmFor(report("ASKED.1"), { controlId: "M1" }));
  await until("registered", () => exchange.log.some(({ event }) => event === "registry.registered"));
  // Another record of hospital A, sound in everything.
  const draft = await peer.draft();
  const other = await seal({ ...draft, purpose: "provide" }, peer.signer(), new Date());
  let answered = 0;
  const leave = await inPlaceOf("hospital-a", exchange.env.A_PORT, async (request) => {
    const { manifest, manifestSha256 } = await opened(request);
    answered += 1;
    const sealed = await seal(
      {
        ...draft,
        purpose: "response",
        message: "92".repeat(16),
        inReplyTo: manifest.id,
        requestDigest: manifestSha256,
        origin: { manifest: other.manifest, signature: other.signature, marks: [] },
      },
      peer.signer(),
      new Date(),
    );
    return { status: 200, sealed };
  });
  await exchange.start("hospital-b");
  await exchange.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId: "ADT1" }), "B_ADT");
  const refused = ({ site, fields }: TestExchange["log"][number]): boolean =>
    site === "hospital-b" && /another record than was asked for/.test(fields.reason ?? "");
  await until("hospital B refuses it", () => exchange.log.some(refused));
  expect(answered).toBeGreaterThan(0);
  expect(exchange.documentsAtB().size).toBe(0);
  await leave();
});
