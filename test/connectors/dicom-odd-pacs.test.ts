/** C-STORE as SCU against a PACS that breaks the protocol: nothing counts as delivered that was not, and no wait is longer than it must be. */
import { afterEach, describe, expect, test } from "vitest";
import type { Outcome } from "../../connectors/connector.ts";
import { readRequest, writeAccept } from "../../connectors/dicom/association.ts";
import { abort, pduTypes, releaseRp, releaseRq, writePdu } from "../../connectors/dicom/pdu.ts";
import { dicomDestination, echo } from "../../connectors/dicom/scu.ts";
import { command, type Message, pdv, playing, type ScriptedPeer } from "../dicom-peer.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { context, each, itemOf, settings } from "./dicom-listening.ts";

const implicit = "1.2.840.10008.1.2";
const study = ctStudy({ instancesPerSeries: 1 }).map(({ bytes }) => bytes);
let stop = (): void => undefined;
afterEach(() => stop());

type Accepting = { readonly id?: number; readonly transferSyntax?: string; readonly maxPdu?: number };
/** Accepts an association as told, then plays. */
async function pacs(play: (peer: ScriptedPeer, n: number) => Promise<unknown>, accepting: Accepting = {}) {
  const started = await playing(async (peer, n) => {
    const request = readRequest((await peer.next())?.body ?? Buffer.alloc(0));
    const contexts = request.contexts.map((asked) => ({
      ...asked,
      id: asked.id + (accepting.id ?? 0),
      result: 0 as const,
      transferSyntax: accepting.transferSyntax ?? asked.transferSyntaxes[0] ?? "",
    }));
    peer.send(writeAccept(request, contexts, accepting.maxPdu ?? 16_384));
    await play(peer, n);
  });
  stop = started.stop;
  return started.port;
}
/** A good one: stores until it is released, and says what it has. */
const good =
  (stored: string[]) =>
  async (peer: ScriptedPeer): Promise<void> => {
    for (;;) {
      const asked = await peer.message().catch(() => undefined);
      if (!asked) return void peer.socket.end(releaseRp);
      stored.push(String(asked.command.get(0x1000)));
      peer.send(response(asked));
    }
  };
const response = ({ contextId, command: asked }: Message, change: Record<number, string | number> = {}): Buffer => {
  const set = { 256: 0x8001, 288: Number(asked.get(0x110)), 2048: 0x101, 2304: 0, ...change };
  return command(contextId, ...Object.entries(set).map(([number, value]) => [Number(number), value] as const));
};
async function send(port: number, files: readonly Uint8Array[] = study, change = {}) {
  const outcomes: Outcome[] = [];
  const failed: unknown = await dicomDestination
    .send(settings(port, change), each(files.map(itemOf)), (_item, outcome) => outcomes.push(outcome), context)
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
  return { outcomes, failed };
}
const lost = { code: "PEER_UNREACHABLE" };

describe("an answer to the association request", () => {
  test.each([
    ["in a transfer syntax that was not proposed", { transferSyntax: implicit }],
    ["of contexts that were not proposed", { id: 100 }],
  ])("%s takes nothing: one refusal, and nothing is sent", async (_what, accepting) => {
    const stored: string[] = [];
    const port = await pacs(good(stored), accepting);
    const { outcomes, failed } = await send(port);
    expect(failed).toBeUndefined();
    expect(outcomes).toEqual(study.map(() => expect.objectContaining({ state: "refused", code: "DICOM_UNSUPPORTED" })));
    expect(stored).toEqual([]);
  });
  test.each([0, 1, 7, 2 ** 32 - 1])("with a largest P-DATA of %i is sent to all the same", async (maxPdu) => {
    const stored: string[] = [];
    const port = await pacs(good(stored), { maxPdu });
    const { outcomes } = await send(port);
    expect(outcomes).toEqual(study.map(() => ({ state: "delivered", detail: "0000" })));
    expect(stored).toHaveLength(study.length);
  });
});

describe("a response", () => {
  test.each([
    ["to another message", { 288: 77 }],
    ["about another instance", { 4096: "1.2.3" }],
    ["of another operation", { 256: 0x8030 }],
    ["without a message", { 288: 0 }],
  ])("%s says nothing of the instance: ambiguous, and it is sent once", async (_what, change) => {
    let count = 0;
    const port = await pacs(async (peer) => {
      for (;;) {
        const asked = await peer.message();
        count += 1;
        peer.send(response(asked, change));
      }
    });
    const { outcomes, failed } = await send(port, study, { responseSeconds: 0.3 });
    expect(outcomes).toMatchObject([{ state: "ambiguous" }]);
    expect(failed).toMatchObject(lost);
    expect(count).toBe(1);
  });
  test.each([
    [0xb000, "delivered"],
    [0xb006, "delivered"],
    [0xb007, "delivered"],
    [0xfe00, "refused"],
    [0xff00, "refused"],
    [0xa700, "refused"],
  ])("with status %i is %s", async (status, state) => {
    const port = await pacs(async (peer) => {
      for (;;) peer.send(response(await peer.message(), { 2304: status }));
    });
    expect((await send(port)).outcomes).toMatchObject(study.map(() => ({ state })));
  });
  test("with success before the instance was sent whole is no promise of it", async () => {
    const large = ctStudy({ instancesPerSeries: 1, size: 2048 })[0]?.bytes ?? new Uint8Array();
    const port = await pacs(async (peer) => {
      const asked = (await peer.next())?.body ?? Buffer.alloc(0);
      const said = command(asked[4] ?? 1, [0x100, 0x8001], [0x120, 1], [0x800, 0x101], [0x900, 0]);
      peer.send(said);
      await peer.closed();
    });
    const { outcomes } = await send(port, [large]);
    expect(outcomes).toMatchObject([
      { state: "ambiguous", reason: expect.stringMatching(/before the last of it was sent/) },
    ]);
  });
  test("in PDUs of an octet, and two in one PDU, are read", async () => {
    const port = await pacs(async (peer, n) => {
      for (;;) {
        const asked = await peer.message().catch(() => undefined);
        if (!asked) return void peer.socket.end(releaseRp);
        const whole = response(asked);
        const body = whole.subarray(12);
        if (n === 1 && asked.command.get(0x110) === 1)
          for (let at = 0; at < body.length; at += 1)
            peer.send(pdv(asked.contextId, true, at + 1 === body.length, body.subarray(at, at + 1)));
        else {
          const other = response(asked, { 288: 99 }).subarray(6);
          peer.send(writePdu(pduTypes.data, Buffer.concat([other, whole.subarray(6)])));
        }
      }
    });
    expect((await send(port)).outcomes).toEqual(study.map(() => ({ state: "delivered", detail: "0000" })));
  });
});

describe("instead of a response", () => {
  test("A-RELEASE-RQ is answered, and the association is over at once", async () => {
    const answered = Promise.withResolvers<number | undefined>();
    const port = await pacs(async (peer) => {
      await peer.message();
      peer.send(releaseRq);
      answered.resolve((await peer.next())?.type);
      await peer.closed();
    });
    const { outcomes, failed } = await send(port, study, { responseSeconds: 3_600 });
    expect(outcomes).toMatchObject([{ state: "ambiguous" }]);
    expect(failed).toMatchObject(lost);
    expect(await answered.promise).toBe(pduTypes.releaseRp);
  });
  test.each([
    ["A-ABORT", (peer: ScriptedPeer) => peer.send(abort(2, 0))],
    ["a half-closed connection", (peer: ScriptedPeer) => void peer.socket.end()],
    [
      "P-DATA without an end",
      (peer: ScriptedPeer) => {
        const piece = pdv(1, true, false, Buffer.alloc(8_192));
        for (let n = 0; n < 64; n += 1) peer.send(piece);
      },
    ],
    ["octets that are no PDU", (peer: ScriptedPeer) => peer.send(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"))],
  ])("%s ends the association at once, and the next one delivers", async (_what, act) => {
    const stored: string[] = [];
    const port = await pacs(async (peer, n) => {
      if (n > 1) return await good(stored)(peer);
      await peer.message();
      act(peer);
      return await peer.closed();
    });
    const { outcomes, failed } = await send(port, study, { responseSeconds: 3_600 });
    expect(outcomes).toMatchObject([{ state: "ambiguous" }]);
    expect(failed).toMatchObject(lost);
    expect((await send(port)).outcomes).toMatchObject(study.map(() => ({ state: "delivered" })));
    expect(stored).toHaveLength(study.length);
  });
});

test("a release that collides with ours is answered", async () => {
  const first = Promise.withResolvers<number | undefined>();
  const second = Promise.withResolvers<number | undefined>();
  const port = await pacs(async (peer) => {
    peer.send(response(await peer.message(), { 256: 0x8030 }));
    first.resolve((await peer.next())?.type);
    peer.send(releaseRq);
    second.resolve((await peer.next())?.type);
    peer.send(releaseRp);
    await peer.closed();
  });
  await echo(settings(port), context);
  expect([await first.promise, await second.promise]).toEqual([pduTypes.releaseRq, pduTypes.releaseRp]);
});
