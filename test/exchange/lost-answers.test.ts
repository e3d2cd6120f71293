/** Answers that are lost behind the commit, registrations that come twice, and a partner that never answers. */
import { hash } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { Traced } from "../../commands/journal/trace.ts";
import { writeCommand } from "../../formats/command.ts";
import type { EvidenceFiles } from "../../pipeline/evidence.ts";
import { cda, chen, mdmFor } from "../fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { type Asking, askingOf } from "./asking.ts";
import { inPlace } from "./in-place.ts";
import { documentOf, registration } from "./indexed.ts";
import { peerOf } from "./peer.ts";

/** More than a client's part of a handshake, less than a registration. */
const handshakeBytes = 6_000;

let pki: string;
let exchange: TestExchange;
let asking: Asking;
let cable: Awaited<ReturnType<typeof openCable>>;
let toB: Awaited<ReturnType<typeof openCable>>;
beforeAll(async () => {
  pki = await testPki();
  cable = await openCable(() => Number(exchange.env.REGISTRY_PORT));
  toB = await openCable(() => Number(exchange.env.B_PORT));
  const routed = (yaml: string): string =>
    yaml
      .replace(/https:\/\/127\.0\.0\.1:\$\{REGISTRY_PORT:8440\}/, `https://127.0.0.1:${cable.port}`)
      .replace(/(hospital-b: \{ url: )[^,]+,/, `$1"https://127.0.0.1:${toB.port}", silence: 500ms,`)
      .replaceAll("route: [repository]", "route: [repository, hospital-b]");
  exchange = await openExchange(pki, { RETRY: "100ms" }, routed);
  asking = askingOf(pki, peerOf(pki, exchange.env.B_PORT), () => exchange.env.REGISTRY_PORT);
});
afterEach(() => {
  cable.mend();
  toB.mend();
});
afterAll(async () => {
  await exchange.close();
  await cable.close();
  await toB.close();
});

const send = (name: string) => {
  const report = cda({
    form: "113",
    extension: name,
    patient: chen,
    code: "11502-2",
    display: "x",
    title: "t",
    body: "x",
  });
  return exchange.message(mdmFor(report, { controlId: name }));
};
const trace = (name: string): Promise<Traced> => exchange.admin("hospital-a").get<Traced>(`/trace/${name}`);
const deliveryOf = async (name: string, kind: string) =>
  (await trace(name)).deliveries.find((delivery) => delivery.kind === kind);

test("an answer that is lost behind the commit: the next attempt gets the very receipt that was lost, and the entry is there once", async () => {
  cable.cutAnswers();
  const registrations = () => exchange.log.filter(({ event }) => event === "registry.registered");
  await send("LOST.1");
  await until("registered twice, and told neither time", () => registrations().length >= 2);
  expect((await deliveryOf("LOST.1", "register"))?.state).not.toBe("delivered");
  const { id: message = "" } = (await deliveryOf("LOST.1", "register")) ?? {};
  const status = writeCommand<"status">({ command: "status", message });
  const first = (await asking.ask("hospital-a", "status", status)).bytes;
  cable.mend();
  await until(
    "hospital A has its receipt",
    async () => (await deliveryOf("LOST.1", "register"))?.state === "delivered",
  );

  expect(new Set(registrations().map(({ fields }) => fields.message))).toEqual(new Set([message]));
  const { records } = await trace("LOST.1");
  const evidence = await exchange.admin("hospital-a").get<EvidenceFiles>(`/records/${records[0]?.id}/evidence`);
  expect(Object.values(evidence.files)).toContain(first.toString("base64"));
  const ids = [{ root: "2.16.886.101.20003.20001", extension: chen.national }];
  const query = writeCommand<"query">({
    command: "query",
    query: "findDocuments",
    patientIds: ids,
    purposeOfUse: "TREAT",
  });
  expect((await asking.ask("hospital-b", "query", query)).found?.entries).toHaveLength(1);
});

test("a proof of delivery that is sooner than the answer to the push is taken once that is there", async () => {
  const toldToWait = () =>
    exchange.log.filter(({ site, fields }) => site === "hospital-a" && fields.code === "PEER_BUSY");
  const proofs = async (name: string): Promise<readonly string[]> => {
    const { records } = await trace(name);
    return records
      .flatMap(({ receipts }) => receipts)
      .filter(({ kind }) => kind === "delivered")
      .map(({ from }) => from);
  };
  // That of the report before may have been too soon by itself.
  await until("the one before is proven", async () => (await proofs("LOST.1")).length > 0);
  const before = toldToWait().length;
  toB.cutAnswers();
  await send("EARLY.1");
  await until("hospital B was told to wait", () => toldToWait().length > before);
  expect((await deliveryOf("EARLY.1", "push"))?.state).not.toBe("delivered");
  toB.mend();
  await until("the proof is here", async () => (await proofs("EARLY.1")).includes("hospital-b"));
});

test("a partner that has the push, lost its answer and then was down is asked for its receipt, and not sent the record again", async () => {
  const is = (code: string) => until(code, async () => (await deliveryOf("DOWN.1", "push"))?.code === code);
  toB.cutAnswers();
  await send("DOWN.1");
  await is("PEER_AMBIGUOUS");
  toB.cut();
  await is("PEER_UNREACHABLE");
  toB.mend();
  const pushed = async () => (await trace("DOWN.1")).steps.find(({ event }) => event === "pushed");
  await until("pushed", async () => (await pushed()) !== undefined);
  expect((await pushed())?.detail).toBe("receipt verified, asked for again");
  // What it took is kept, although no answer to it came: its receipt names that and nothing else.
  const [record] = (await trace("DOWN.1")).records;
  const { files } = await exchange.admin("hospital-a").get<EvidenceFiles>(`/records/${record?.id}/evidence`);
  const octets = (name: string) => Buffer.from(files[name] ?? "", "base64");
  const receipt = octets("receipt-stored-hospital-b.p7m").toString("latin1");
  expect(receipt).toContain(hash("sha256", octets("push-hospital-b.json")));
});

test("two registrations under one message id: the first one's receipt stands, the other is refused, signed, and leaves nothing", async () => {
  const message = "ab".repeat(16);
  const of = (name: string) =>
    asking.seal("hospital-a", "register", registration([documentOf(name)], message), message);
  const [one, other] = [await of("one"), await of("other")];
  const first = await asking.post("hospital-a", "register", one);
  expect(first).toMatchObject({ status: 201, isRepeated: false });
  const second = await asking.post("hospital-a", "register", other);
  expect(second).toMatchObject({ status: 409, refusal: { code: "ENVELOPE_CONFLICT" } });
  const again = await asking.post("hospital-a", "register", await of("one"));
  expect(again).toMatchObject({ status: 201, isRepeated: true });
  expect(again.bytes).toEqual(first.bytes);
  const uniqueIds = ["one", "other"].map((name) => documentOf(name).uniqueId);
  const query = writeCommand<"query">({ command: "query", query: "getDocuments", uniqueIds, purposeOfUse: "TREAT" });
  const { found } = await asking.ask("hospital-b", "query", query);
  expect(found?.entries.map(({ entry }) => entry.uniqueId)).toEqual(uniqueIds.slice(0, 1));
});

test("a partner that takes everything and never answers is given up after its time; the registry is told meanwhile, and it gets all once it is back", async () => {
  let asked = 0;
  const stop = () => exchange.stop("hospital-b");
  const leave = await inPlace(pki, stop, "hospital-b", exchange.env.B_PORT, async (request) => {
    await request.resume().toArray();
    asked += 1;
    return undefined;
  });
  const names = Array.from({ length: 8 }, (_, n) => `SILENT.${n}`);
  await Promise.all(names.map(send));
  await until("all are registered", async () =>
    (await Promise.all(names.map((name) => deliveryOf(name, "register")))).every((each) => each?.state === "delivered"),
  );
  const pushes = () => Promise.all(names.map((name) => deliveryOf(name, "push")));
  expect((await pushes()).filter((each) => each?.state === "delivered")).toHaveLength(0);
  await until("each attempt is given up", () =>
    exchange.log.some(({ fields }) => /silent for 500 ms/.test(fields.reason ?? "") && fields.peer === "hospital-b"),
  );
  expect(asked).toBeGreaterThan(0);
  await leave();
  await exchange.start("hospital-b");
  await until("all are pushed", async () => (await pushes()).every((each) => each?.state === "delivered"));
  await until("and delivered", () => exchange.documentsAtB().size >= names.length);
});

/** A cable to a port: it can cut every connection behind its first request, once that was answered into nothing, or all of them. */
async function openCable(to: () => number) {
  const open = new Set<Socket>();
  let [isCutting, isCut] = [false, false];
  const server = createServer((near) => {
    if (isCut) return void near.destroy();
    const far = connect(to(), "127.0.0.1");
    let taken = 0;
    for (const socket of [near, far]) {
      open.add(socket);
      socket.on("error", () => undefined).on("close", () => open.delete(socket));
    }
    near.on("data", (bytes) => {
      taken += bytes.length;
      far.write(bytes);
    });
    far.on("data", (bytes) => {
      if (isCutting && taken > handshakeBytes) near.destroy();
      else near.write(bytes);
    });
    near.on("close", () => far.destroy());
    far.on("close", () => near.destroy());
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    cutAnswers: () => {
      isCutting = true;
    },
    cut: () => {
      isCut = true;
      for (const socket of open) socket.destroy();
    },
    mend: () => {
      [isCutting, isCut] = [false, false];
    },
    close: async () => {
      for (const socket of open) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
