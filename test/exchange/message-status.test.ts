/** "Did my message get through?": the answer is the receipt that was lost, or that nothing is known; and an outbox that asks. */
import { once } from "node:events";
import { createServer } from "node:https";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Traced } from "../../commands/journal/trace.ts";
import { contentOf } from "../../envelope/index.ts";
import { commandMediaType, readCommand, writeCommand } from "../../formats/command.ts";
import { bytesOf, wire } from "../envelope/people.ts";
import { cda, chen, mdmFor } from "../fixtures/documents.ts";
import { openExchange, sha256, type TestExchange, testPki, until } from "../sites.ts";
import { openAtA, type Peer, pairsOf, peerOf, read, type Sending } from "./peer.ts";

let pki: string;
let exchange: TestExchange;
let peer: Peer;
beforeAll(async () => {
  pki = await testPki();
  exchange = await openExchange(pki, { RETRY: "100ms" }, (yaml) =>
    yaml.replaceAll("route: [repository]", "route: [repository, hospital-b]"),
  );
  peer = peerOf(pki, exchange.env.B_PORT);
});
afterAll(() => exchange.close());

type Asking = { readonly of?: string; readonly message: string } & Sending;

/** What `of` is told about a message. */
async function ask({ of = "hospital-a", message, path = "/repository/status", port }: Asking) {
  const to = path.startsWith("/registry") ? "registry" : "hospital-b";
  const command = writeCommand<"status">({ command: "status", message });
  const sealed = await peer.push(
    {
      purpose: "status",
      messageType: "status",
      sender: of,
      to: [{ org: to, certificate: peer.certificateOf(to) }],
      content: [await contentOf(command, "command", commandMediaType)],
    },
    join(pki, of),
  );
  const answer = await peer.post(sealed.headers, await bytesOf(sealed.body()), { as: join(pki, of), path, port });
  return { sealed, answer };
}

test("a message that got through is answered with its receipt, octet for octet", async () => {
  const pushed = await peer.push();
  const first = await peer.post(pushed.headers, await bytesOf(pushed.body()));
  const { message } = JSON.parse(Buffer.from(pushed.manifest).toString("utf8")) as { message: string };
  const { sealed, answer } = await ask({ message });
  expect(answer).toMatchObject({ status: 200, profile: "semrs-2" });
  expect(await peer.receiptIn(answer, sealed)).toEqual(await peer.receiptIn(first, pushed));
});

test.each<[string, Omit<Asking, "message">]>([
  ["nobody has seen", {}],
  ["nobody has seen, at the registry", { path: "/registry/status" }],
])("a message that %s is unknown", async (_what, how) => {
  const message = "ab".repeat(16);
  const { sealed, answer } = await ask({ ...how, message, port: how.path ? exchange.env.REGISTRY_PORT : undefined });
  expect(answer).toMatchObject({ status: 200, profile: "semrs-2" });
  const from = how.path ? "registry" : "hospital-b";
  const reply = { inReplyTo: sealed.id, requestDigest: sealed.manifestSha256, from };
  const partner = () => ({ org: from, profiles: ["semrs-2"] });
  const opened = await openAtA(pki, answer.headers, wire(answer.body), { purposes: ["response"], reply, partner });
  const { value } = await opened.parts().next();
  expect(readCommand("unknown", (await value?.bytes(1000)) ?? Buffer.alloc(0))).toEqual({
    command: "unknown",
    message,
  });
});

test("a registration is told of as well, to who registered and to nobody else", async () => {
  await exchange.message(mdmFor(report("REG.1"), { controlId: "R1" }));
  await exchange.registered(1);
  const deliveries = await exchange
    .admin("hospital-a")
    .get<Traced>("/trace/R1")
    .then(({ deliveries: all }) => all);
  const message = deliveries.find(({ kind }) => kind === "register")?.id ?? "";
  const at = { path: "/registry/status", port: exchange.env.REGISTRY_PORT, message };
  const answered = (org: string): (string | undefined)[] =>
    exchange.log
      .filter(({ event, fields }) => event === "registry.answered" && fields.peer === org && fields.message === message)
      .map(({ fields }) => String(fields.count));
  await ask(at);
  await ask({ ...at, of: "hospital-b" });
  expect([answered("hospital-a"), answered("hospital-b")]).toEqual([["1"], ["0"]]);
});

test("an outbox that lost the answer to a push asks first, and sends no image twice", async () => {
  await exchange.stop("hospital-b");
  const keys = join(pki, "hospital-b");
  const tls = { key: read(keys, "tls.key"), cert: read(keys, "tls.crt"), ca: read(pki, "ca.crt"), requestCert: true };
  const { promise, resolve } = Promise.withResolvers<{
    headers: readonly (readonly [string, string])[];
    body: Buffer;
  }>();
  const server = createServer(tls, async (request, response) => {
    const body = Buffer.concat(await request.toArray());
    resolve({ headers: pairsOf(request.rawHeaders).filter(([name]) => /^(mime|content-type|x-)/i.test(name)), body });
    await exchange.admin("hospital-a").post("/stops/hospital-b/pause", { reason: "until it is up" });
    response.destroy();
  });
  server.listen(Number(exchange.env.B_PORT), "127.0.0.1");
  await once(server, "listening");
  await exchange.message(mdmFor(report("LOST.1"), { controlId: "L1" }));
  const taken = await promise;
  const trace = () => exchange.admin("hospital-a").get<Traced>("/trace/L1");
  const push = async () => (await trace()).deliveries.find(({ kind }) => kind === "push");
  await until("ambiguous", async () => (await push())?.state === "ambiguous");
  server.closeAllConnections();
  server.close();

  await exchange.start("hospital-b");
  // It got through; the answer did not.
  expect((await peer.post(taken.headers, taken.body)).status).toBe(201);
  const received = () =>
    exchange.log.filter(({ site, event }) => site === "hospital-b" && event === "repository.received").length;
  const before = received();
  await exchange.admin("hospital-a").post("/stops/hospital-b/resume", { reason: "up" });
  await until("delivered", async () => (await push())?.state === "delivered");
  expect(received()).toBe(before);
  expect((await trace()).steps.find(({ event }) => event === "pushed")?.detail).toBe(
    "receipt verified, asked for again",
  );
  await until("the document at HIS B", () => exchange.documentsAtB().has(sha256(report("LOST.1"))));
});

const report = (extension: string): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });
