/** C-FIND and C-MOVE as SCU at a PACS that answers oddly: one typed fault, no end of the process, no question without an end. */
import { once } from "node:events";
import { afterEach, describe, expect, test, vi } from "vitest";
import { readRequest, writeAccept } from "../../connectors/dicom/association.ts";
import { abort, pduTypes, releaseRp, releaseRq, writePdu } from "../../connectors/dicom/pdu.ts";
import { countOf, move } from "../../connectors/dicom/query.ts";
import { encodeElement } from "../../formats/dicom-encode.ts";
import { encodingOf } from "../../formats/dicom-tokens.ts";
import { command, pdv, playing, type ScriptedPeer } from "../dicom-peer.ts";
import { context, settings } from "./dicom-listening.ts";

const implicit = "1.2.840.10008.1.2";
let stop = (): void => undefined;
afterEach(() => stop());

type Told = readonly (readonly [number, number])[];
type Answer = (status: number, identifier?: Buffer, more?: Told) => Buffer;
/** A PACS that answers each question as told. */
async function asked(
  play: (peer: ScriptedPeer, answer: Answer) => Promise<unknown> | unknown,
  syntax = implicit,
): Promise<number> {
  const pacs = await playing(async (peer) => {
    const request = readRequest((await peer.next())?.body ?? Buffer.alloc(0));
    const accepted = request.contexts.map((each) => ({ ...each, result: 0 as const, transferSyntax: syntax }));
    peer.send(writeAccept(request, accepted, 16_384));
    const { contextId, command: of } = await peer.message();
    const field = Number(of.get(0x100)) | 0x8000;
    await play(peer, (status, identifier, more = []) => {
      const said = command(
        contextId,
        [0x100, field],
        [0x120, Number(of.get(0x110))],
        [0x800, identifier ? 0 : 0x101],
        [0x900, status],
        ...more,
      );
      return identifier ? Buffer.concat([said, pdv(contextId, false, true, identifier)]) : said;
    });
  });
  ({ stop } = pacs);
  return pacs.port;
}
/** One P-DATA with all PDVs of several (PS3.8 9.3.5: "one or more"). */
const together = (pdus: readonly Buffer[]): Buffer =>
  writePdu(pduTypes.data, Buffer.concat(pdus.map((pdu) => pdu.subarray(6))));
const match = Buffer.concat(
  [[0x0020000d, "UI", "1.2.3"] as const, [0x00201208, "IS", "12"] as const].map(([tag, vr, value]) =>
    encodeElement(tag, vr, Buffer.from(value), encodingOf(implicit)),
  ),
);
const count = (port: number, change = {}) =>
  countOf(settings(port, { responseSeconds: 1, ...change }), "1.2.3", context.signal);
const ended = (peer: ScriptedPeer) => peer.next().then(() => peer.socket.end(releaseRp));

describe("an identifier", () => {
  test.each([
    ["that is no data set", Buffer.from("this is no data set, and never was")],
    ["that is cut off", match.subarray(0, -3)],
    ["of undefined length without an end", Buffer.from("0800051000000000ffffffff", "hex")],
    ["that is empty", Buffer.alloc(0)],
    ["of zeros", Buffer.alloc(4096)],
    ["of FFs", Buffer.alloc(4096, 0xff)],
    ["whose value is longer than it", Buffer.from("20000d00ffffff7f312e322e33", "hex")],
    ["with a sequence in itself", Buffer.from(`${"08001111ffffffff".concat("feff00e0ffffffff")}`.repeat(200), "hex")],
  ])("%s is no match or a fault", async (_what, identifier) => {
    const port = await asked((peer, answer) => {
      peer.send(answer(0xff00, identifier), answer(0));
      return ended(peer);
    });
    const told = await count(port).catch((thrown: unknown) => thrown);
    if (told !== 0) expect(told).toMatchObject({ name: "Fault", code: expect.stringMatching(/^(PEER_|DICOM_)/) });
  });
});

describe("a C-FIND", () => {
  test.each([
    ["the end", (peer: ScriptedPeer) => void peer.socket.end()],
    ["A-ABORT", (peer: ScriptedPeer) => peer.send(abort(2, 0))],
    ["a reset", (peer: ScriptedPeer) => void peer.socket.resetAndDestroy()],
  ])("of a PACS that ends with %s in the middle is asked again", async (_what, act) => {
    const port = await asked(async (peer) => {
      act(peer);
      await peer.closed();
    });
    await expect(count(port, { responseSeconds: 600 })).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  });

  test.each([
    ["nothing", (peer: ScriptedPeer) => peer.closed()],
    ["a reset", (peer: ScriptedPeer) => void peer.socket.resetAndDestroy()],
    ["A-ABORT", (peer: ScriptedPeer) => peer.send(abort(2, 0))],
  ])("that is answered, and its release with %s, is answered", async (_what, act) => {
    const port = await asked(async (peer, answer) => {
      peer.send(answer(0xff00, match), answer(0));
      await peer.next();
      await act(peer);
    });
    expect(await count(port)).toBe(12);
  });

  test.each([
    ["A-ABORT", (peer: ScriptedPeer) => peer.send(abort(2, 0))],
    ["A-RELEASE-RQ", (peer: ScriptedPeer) => peer.send(releaseRq)],
    ["the end", (peer: ScriptedPeer) => void peer.socket.end()],
    ["a reset", (peer: ScriptedPeer) => void peer.socket.resetAndDestroy()],
    ["octets that are no PDU", (peer: ScriptedPeer) => peer.send(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"))],
    ["a command that is none", (peer: ScriptedPeer) => peer.send(pdv(1, true, true, Buffer.alloc(40, 0xee)))],
    [
      "a response to another",
      (peer: ScriptedPeer) => peer.send(command(1, [0x100, 0x8020], [0x120, 99], [0x800, 0x101], [0x900, 0])),
    ],
    ["nothing", () => undefined],
    [
      "a PDV of another context",
      (peer: ScriptedPeer) => peer.send(command(77, [0x100, 0x8020], [0x120, 1], [0x800, 0x101], [0x900, 0])),
    ],
  ])("that is answered with %s is a fault", async (_what, act) => {
    const port = await asked(async (peer) => {
      act(peer);
      await peer.closed();
    });
    await expect(count(port)).rejects.toMatchObject({ name: "Fault", code: expect.stringMatching(/^PEER_/) });
  });

  test("that is answered with another study's count says nothing", async () => {
    const other = Buffer.concat(
      [[0x0020000d, "UI", "1.2.4"] as const, [0x00201208, "IS", "12"] as const].map(([tag, vr, value]) =>
        encodeElement(tag, vr, Buffer.from(value), encodingOf(implicit)),
      ),
    );
    const port = await asked((peer, answer) => {
      peer.send(answer(0xff00, other), answer(0));
      return ended(peer);
    });
    expect(await count(port)).toBe(0);
  });
});

describe("a C-MOVE", () => {
  const subOperations = (remaining: number, completed = 0): Told => [
    [0x1020, remaining],
    [0x1021, completed],
    [0x1022, 0],
    [0x1023, 0],
  ];
  const moved = (port: number) => move(settings(port, { responseSeconds: 5 }), "1.2.3", "SEMRS_A", context.signal);

  test("tells how many instances were sent", async () => {
    const port = await asked((peer, answer) => {
      for (const done of [1, 2, 3]) peer.send(answer(0xff00, undefined, subOperations(3 - done, done)));
      peer.send(answer(0, undefined, subOperations(0, 3)));
      return ended(peer);
    });
    expect(await moved(port)).toBe(3);
  });

  test.each([2, 3, 4])(
    "of whose four answers %i come in one P-DATA tells how many instances were sent",
    async (some) => {
      const port = await asked((peer, answer) => {
        const pending = [1, 2, 3].map((done) => answer(0xff00, undefined, subOperations(3 - done, done)));
        const answers = [...pending, answer(0, undefined, [])];
        peer.send(together(answers.slice(0, some)), ...answers.slice(some));
        return ended(peer);
      });
      expect(await moved(port)).toBe(3);
    },
  );

  test("whose answers never end is given up", async () => {
    const port = await asked(async (peer, answer) => {
      const closed = once(peer.socket, "close");
      const many = Buffer.concat(Array.from({ length: 1_000 }, () => answer(0xff00, undefined, subOperations(5))));
      while (!peer.socket.destroyed)
        if (!peer.socket.write(many)) await Promise.race([once(peer.socket, "drain"), closed]);
    });
    await expect(moved(port)).rejects.toMatchObject({ code: "TOO_LARGE" });
  }, 60_000);

  test("that says for ten minutes that it moves, and moves nothing, is given up", async () => {
    const now = performance.now.bind(performance);
    let ahead = 0;
    const clock = vi.spyOn(performance, "now").mockImplementation(() => now() + ahead);
    const port = await asked(async (peer, answer) => {
      ahead = 601_000;
      peer.send(answer(0xff00, undefined, subOperations(5)));
      await peer.closed();
    });
    await expect(moved(port)).rejects.toMatchObject({
      code: "PEER_UNREACHABLE",
      message: expect.stringMatching(/moved nothing for 600 s/),
    });
    clock.mockRestore();
  });
});
