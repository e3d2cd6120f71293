/** Storage commitment with a scripted requester: answered, then reported on the same association or on one of ours, until it is accepted. */
import { afterEach, describe, expect, test } from "vitest";
import type { Commit, Context } from "../../connectors/connector.ts";
import {
  commitmentClass,
  implicitLittle,
  negotiate,
  readRequest,
  writeAccept,
  writeRequest,
} from "../../connectors/dicom/association.ts";
import {
  type CommitmentReport,
  commitmentInstance,
  readCommitmentReport,
  transactions,
  writeCommitmentReport,
  writeCommitmentRequest,
} from "../../connectors/dicom/commitment.ts";
import { pduTypes, releaseRp, releaseRq } from "../../connectors/dicom/pdu.ts";
import { dicomSource } from "../../connectors/dicom/scp.ts";
import { Fault } from "../../errors.ts";
import {
  associated,
  associateRq,
  command,
  ct,
  dial,
  echoRq,
  explicitLittle,
  type Message,
  pdv,
  playing,
  type ScriptedPeer,
} from "../dicom-peer.ts";
import { until } from "../sites.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

const references = [1, 2].map((n) => ({ sopClassUid: ct, sopInstanceUid: `1.2.3.${n}` }));
const request = { transactionUid: "2.25.4711", references };
/** The first is here, the second is not. */
const half: Commit = async ({ references: asked }) => asked.map((_, index) => (index === 0 ? null : 0x0112));
const halfReported: CommitmentReport = {
  transactionUid: request.transactionUid,
  committed: references.slice(0, 1),
  failed: references.slice(1).map((each) => ({ ...each, reason: 0x0112 })),
};
const contexts = [explicitLittle, implicitLittle].map((syntax, n) => ({
  id: n * 2 + 1,
  abstractSyntax: commitmentClass,
  transferSyntaxes: [syntax],
}));

async function listening(options = {}, commit: Commit = half): Promise<{ port: number; log: string[] }> {
  const log: string[] = [];
  const controller = new AbortController();
  const context: Context = {
    log: (event, fields) => void log.push(`${event} ${fields?.count ?? fields?.code ?? ""}`.trim()),
    signal: controller.signal,
    commit,
  };
  const settings = dicomSource.options.parse({ port: 0, aeTitle: "SEMRS_A", commitmentRetrySeconds: 0.01, ...options });
  const { address, stop } = await dicomSource.listen(
    settings,
    () => Promise.reject(new Error("nothing is stored here")),
    context,
  );
  stops.push(stop, () => controller.abort());
  return { port: Number(address.split(":")[1]), log };
}

const actionRq = (contextId = 1, change: Partial<Record<number, string | number>> = {}): Buffer =>
  command(
    contextId,
    ...(
      [
        [0x0003, commitmentClass],
        [0x0100, 0x0130],
        [0x0110, 9],
        [0x0800, 0],
        [0x1001, commitmentInstance],
        [0x1008, 1],
      ] as const
    ).map(([number, value]) => [number, change[number] ?? value] as const),
  );
const ask = (peer: ScriptedPeer, contextId = 1, bytes?: Uint8Array): void =>
  peer.send(
    actionRq(contextId),
    pdv(
      contextId,
      false,
      true,
      bytes ?? writeCommitmentRequest(request, contextId === 1 ? explicitLittle : implicitLittle),
    ),
  );
const eventRsp = ({ contextId, command: set }: Message, status = 0): Buffer =>
  command(
    contextId,
    [2, commitmentClass],
    [0x100, 0x8100],
    [0x120, Number(set.get(0x110))],
    [0x800, 0x101],
    [0x900, status],
  );
const statusOf = async (peer: ScriptedPeer): Promise<unknown> => (await peer.message()).command.get(0x900);

describe("a request", () => {
  test.each([
    [1, explicitLittle],
    [3, implicitLittle],
  ])("on context %i is answered, then reported on the same association", async (contextId, syntax) => {
    const { port, log } = await listening();
    const peer = await associated(port, contexts);
    ask(peer, contextId);
    const answer = await peer.message();
    expect([0x2, 0x100, 0x120, 0x900, 0x1000, 0x1008].map((number) => answer.command.get(number))).toEqual([
      commitmentClass,
      0x8130,
      9,
      0,
      commitmentInstance,
      1,
    ]);
    const report = await peer.message();
    expect([0x2, 0x100, 0x1000, 0x1002].map((number) => report.command.get(number))).toEqual([
      commitmentClass,
      0x0100,
      commitmentInstance,
      2,
    ]);
    expect(readCommitmentReport(report.dataSet, syntax)).toEqual(halfReported);
    peer.send(eventRsp(report));
    await until("it is told", () => log.includes("commitment.reported 1"));
    peer.send(releaseRq);
    expect(await peer.next()).toMatchObject({ type: pduTypes.releaseRp });
    peer.socket.destroy();
  });

  test("of a requester whose largest P-DATA is odd is reported in fragments that are even (PS3.8 E.1)", async () => {
    const { port } = await listening();
    const peer = await dial(port);
    peer.send(writeRequest("SEMRS_A", "PACS_A", contexts, 4_099));
    await peer.next();
    const many = Array.from({ length: 100 }, (_, n) => ({ sopClassUid: ct, sopInstanceUid: `1.2.3.${n + 1}` }));
    ask(peer, 1, writeCommitmentRequest({ ...request, references: many }, explicitLittle));
    const lengths: number[] = [];
    for (let control = 0; control !== 2; ) {
      const { body } = (await peer.next()) ?? { body: Buffer.alloc(0) };
      control = body[5] ?? 2;
      lengths.push(body.length);
    }
    expect(lengths.map((length) => length > 4_099 || length % 2 === 1)).toEqual([false, false, false, false]);
    peer.socket.destroy();
  });

  test("of a requester that releases at once is reported on an association of ours, as SCP, until it is accepted", async () => {
    const reports: CommitmentReport[] = [];
    const there = await playing(async (peer, connection) => {
      const asked = await peer.next();
      const read = readRequest(asked?.body ?? Buffer.alloc(0));
      // The first is lost, the second is answered with a failure, the third accepted.
      if (connection === 1) throw new Error("lost");
      expect(read).toMatchObject({ calledAeTitle: "PACS_A", callingAeTitle: "SEMRS_A" });
      expect(read.items.filter(({ type }) => type === 0x54)[0]?.body.subarray(-2)).toEqual(Buffer.from([0, 1]));
      peer.send(
        writeAccept(
          read,
          negotiate(read.contexts).filter(({ id }) => id === 3),
          16_384,
        ),
      );
      const message = await peer.message();
      reports.push(readCommitmentReport(message.dataSet, implicitLittle));
      peer.send(eventRsp(message, connection === 2 ? 0x0110 : 0));
      expect(await peer.next()).toMatchObject({ type: pduTypes.releaseRq });
      peer.send(releaseRp);
      await peer.closed();
    });
    stops.push(there.stop);
    const { port, log } = await listening({
      callers: [{ aeTitle: "PACS_A", commitmentTo: { host: "127.0.0.1", port: there.port } }],
    });
    const peer = await associated(port, contexts);
    ask(peer);
    peer.send(releaseRq);
    expect(await statusOf(peer)).toBe(0);
    await peer.closed().catch(() => undefined);
    peer.socket.destroy();
    await until("it is told", () => log.includes("commitment.reported 1"));
    expect(reports).toEqual([halfReported, halfReported]);
    expect(log.filter((line) => line.startsWith("commitment.deferred"))).toHaveLength(2);
  });

  test("of a requester that is gone and has no address is logged as not reported", async () => {
    const { port, log } = await listening();
    const peer = await associated(port, contexts);
    ask(peer);
    await peer.message();
    peer.socket.destroy();
    await until("it is told", () => log.includes("commitment.unreported PEER_UNREACHABLE"));
  });

  test("that cannot be looked up is reported as failed, not left without a report", async () => {
    const { port, log } = await listening({}, () => Promise.reject(new Fault("STORE_DAMAGED", "no index")));
    const peer = await associated(port, contexts);
    ask(peer);
    await peer.message();
    const report = readCommitmentReport((await peer.message()).dataSet, explicitLittle);
    expect(report.failed.map(({ reason }) => reason)).toEqual([0x0110, 0x0110]);
    expect(log).toContain("commitment.failed STORE_DAMAGED");
    peer.socket.destroy();
  });

  test.each([
    ["of another class", actionRq(1, { 3: ct }), undefined, 0x0118],
    ["of another instance", actionRq(1, { 4097: "1.2.3" }), undefined, 0x0112],
    ["of another action", actionRq(1, { 4104: 2 }), undefined, 0x0123],
    ["that cannot be read", actionRq(), Buffer.from("nothing"), 0x0115],
    ["in another syntax than its context's", actionRq(3), undefined, 0x0115],
  ])(
    "%s is answered with the standard's status (PS3.7 10.1.4.1.10), and the association goes on",
    async (_what, set, bytes, status) => {
      const { port } = await listening();
      const peer = await associated(port, contexts);
      const contextId = set === undefined ? 1 : (set[10] ?? 1);
      peer.send(set, pdv(contextId, false, true, bytes ?? writeCommitmentRequest(request, explicitLittle)));
      expect(await statusOf(peer)).toBe(status);
      peer.send(echoRq());
      expect(await statusOf(peer)).toBe(0);
      peer.socket.destroy();
    },
  );
});

describe("a report that an archive brings on an association of its own", () => {
  const reportRq = (eventType: number): Buffer =>
    command(
      1,
      [2, commitmentClass],
      [0x100, 0x0100],
      [0x110, 3],
      [0x800, 0],
      [0x1000, commitmentInstance],
      [0x1002, eventType],
    );

  test("reaches whoever waits for it; one that nobody waits for is refused", async () => {
    const { port } = await listening();
    const outcome = transactions.expect(request.transactionUid, 60_000);
    const peer = await associated(
      port,
      contexts.map((each) => ({ ...each, isScp: true })),
    );
    for (const status of [0, 0x0115]) {
      peer.send(reportRq(2), pdv(1, false, true, writeCommitmentReport(halfReported, explicitLittle)));
      const answer = await peer.message();
      expect([0x100, 0x900, 0x1002].map((number) => answer.command.get(number))).toEqual([0x8100, status, 2]);
    }
    expect(await outcome).toEqual(
      new Map([
        ["1.2.3.1", null],
        ["1.2.3.2", 0x0112],
      ]),
    );
    peer.send(reportRq(9), pdv(1, false, true, writeCommitmentReport(halfReported, explicitLittle)));
    expect(await statusOf(peer)).toBe(0x0113);
    peer.socket.destroy();
  });

  test("its role as SCP is accepted, that of a storage class is not (PS3.7 D.3.3.4)", () => {
    const roles = (uid: string): Buffer =>
      Buffer.concat([Buffer.from([0, uid.length]), Buffer.from(uid, "latin1"), Buffer.from([1, 1])]);
    const items = [commitmentClass, ct].map((uid) => ({ type: 0x54, body: roles(uid) }));
    const asked = { ...readRequest(requestBody()), items };
    const answered = writeAccept(asked, negotiate(asked.contexts), 16_384).toString("latin1");
    expect(answered).toContain(`${commitmentClass}\u0001\u0001`);
    expect(answered).toContain(`${ct}\u0001\u0000`);
  });
});

test("C-CANCEL is taken quietly, and an operation that we do not have is answered 0211", async () => {
  const { port } = await listening();
  const peer = await associated(port);
  peer.send(command(1, [0x100, 0x0fff], [0x120, 5], [0x800, 0x101]));
  peer.send(
    command(1, [2, ct], [0x100, 0x0020], [0x110, 6], [0x700, 0], [0x800, 0]),
    pdv(1, false, true, Buffer.alloc(8)),
  );
  const answer = await peer.message();
  expect([0x100, 0x120, 0x900].map((number) => answer.command.get(number))).toEqual([0x8020, 6, 0x0211]);
  peer.socket.destroy();
});

function requestBody(): Buffer {
  return associateRq(contexts).subarray(6);
}
