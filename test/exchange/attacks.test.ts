/**
 * The attacks of exchange and envelope, each by somebody with keys of their own, on houses that run: refused, nothing delivered.
 * What each reader refuses one by one is in test/envelope/refusals-*.test.ts.
 */
import type { IncomingMessage } from "node:http";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Draft, type Opened, type Sealed, seal } from "../../envelope/index.ts";
import { type Forgery, forge } from "../envelope/forge.ts";
import { bytesOf } from "../envelope/people.ts";
import { adtFor, cda, chen, mdmFor } from "../fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { inPlace } from "./in-place.ts";
import { openAtA, type Peer, pairsOf, peerOf } from "./peer.ts";

let pki: string;
let exchange: TestExchange;
let peer: Peer;
beforeAll(async () => {
  pki = await testPki();
  exchange = await openExchange(pki, { RETRY: "100ms" });
  peer = peerOf(pki, exchange.env.B_PORT);
});
afterAll(() => exchange.close());

const atB = (): number => exchange.documentsAtB().size;
/** As hospital A seals it, but for one thing. */
const forged = async (change: Partial<Forgery> & { readonly draft?: Draft } = {}) =>
  await forge({ signer: peer.signer(), created: new Date(), draft: await peer.draft(), ...change });

describe("on what is sent", () => {
  test("the control: what nobody has touched is taken", async () => {
    const { headers, body } = await forged();
    expect((await peer.post(headers, body)).status).toBe(201);
    await until("delivered", () => atB() === 1);
  });

  test("swapped parts: the document where the image is due", async () => {
    const before = atB();
    const { headers, body } = await forged({
      frames: ([first, ...rest]) => {
        const last = rest.pop();
        return last && first ? [last, ...rest, first] : [];
      },
    });
    expect(await peer.post(headers, body)).toMatchObject({ status: 422, profile: undefined });
    expect(atB()).toBe(before);
  });

  test("spliced: an image of another envelope of the same house", async () => {
    const before = atB();
    const images: Uint8Array[] = [];
    await forged({ frames: (frames) => images.splice(0, 9, ...frames.slice(4)) && frames });
    const { headers, body } = await forged({ frames: (frames) => [...frames.slice(0, 4), ...images] });
    expect(await peer.post(headers, body)).toMatchObject({ status: 422, profile: undefined });
    expect(atB()).toBe(before);
  });

  test("forwarded: what hospital A signed for the registry, sealed by the registry for hospital B", async () => {
    const before = atB();
    const draft = await peer.draft();
    const toRegistry = [{ org: "registry", certificate: peer.certificateOf("registry") }];
    const meant = await seal({ ...draft, to: toRegistry }, peer.signer(), new Date());
    const { headers, body } = await forge({
      draft,
      signer: peer.signer("registry"),
      created: new Date(),
      id: meant.id,
      text: () => meant.manifest,
      signature: () => meant.signature,
    });
    for (const as of ["registry", "hospital-a"])
      expect(await peer.post(headers, body, { as: join(pki, as) })).toMatchObject({ status: 422, profile: undefined });
    expect(atB()).toBe(before);
  });

  test("replayed: by the sender it changes nothing, by another house it is refused", async () => {
    const { headers, body } = await forged();
    const before = atB();
    expect((await peer.post(headers, body)).status).toBe(201);
    await until("delivered", () => atB() === before + 1);
    expect(await peer.post(headers, body)).toMatchObject({ status: 201, isRepeated: true });
    expect((await peer.post(headers, body, { as: join(pki, "registry") })).status).toBe(422);
    expect(atB()).toBe(before + 1);
  });

  test.each<[string, (headers: Sealed["headers"]) => Sealed["headers"], number]>([
    ["the profile taken away", (headers) => headers.filter(([name]) => name !== "X-SEMRS-Profile"), 415],
    [
      "the paper's nine headers and no more",
      (headers) => headers.filter(([name]) => !name.startsWith("X-SEMRS-")),
      415,
    ],
    [
      "a version that there is not",
      (headers) => headers.map(([name, value]) => [name, name === "X-SEMRS-Profile" ? "semrs-1" : value] as const),
      415,
    ],
  ])("downgraded: %s", async (_what, change, status) => {
    const before = atB();
    const { headers, body } = await forged();
    expect(await peer.post(change(headers), body)).toMatchObject({ status, profile: undefined });
    expect(atB()).toBe(before);
  });
});

describe("on what is answered, by hospital A itself", () => {
  const report = cda({
    form: "113",
    extension: "ANSWER",
    patient: chen,
    code: "11502-2",
    display: "x",
    title: "t",
    body: "x",
  });
  const asked = (request: IncomingMessage): Promise<Opened> =>
    openAtA(pki, pairsOf(request.rawHeaders), request, { purposes: ["retrieve"] });
  const parkedAtB = (): readonly string[] =>
    exchange.log.filter(({ event }) => event === "open.parked").map(({ fields }) => fields.reason ?? "");

  // Answers that are swapped: bad-retrievals.test.ts.
  test("stripped: an answer without its origin, bound to the right question, delivers nothing", async () => {
    const before = atB();
    await exchange.message(mdmFor(report, { controlId: "ANSWER" }));
    await exchange.registered(1);
    const stop = () => exchange.stop("hospital-a");
    const leave = await inPlace(pki, stop, "hospital-a", exchange.env.A_PORT, async (request) => {
      const { manifest, manifestSha256 } = await asked(request);
      const reply = { message: "91".repeat(16), inReplyTo: manifest.id, requestDigest: manifestSha256 };
      const draft = { ...(await peer.draft()), purpose: "response" as const, ...reply };
      const sealed = await seal(draft, peer.signer(), new Date());
      return { status: 200, sealed: { headers: sealed.headers, octets: await bytesOf(sealed.body()) } };
    });
    await exchange.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId: "ASK" }), "B_ADT");
    await until("hospital B refuses it", () => parkedAtB().length === 1);
    expect(parkedAtB()).toEqual(["hospital-a answered with another record than was asked for"]);
    expect(atB()).toBe(before);
    await leave();
  });
});
