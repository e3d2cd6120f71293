/** C-FIND at a PACS that does without a key that it was asked for, and says so with each answer. */
import { once } from "node:events";
import { afterEach, expect, test } from "vitest";
import { readRequest, writeAccept } from "../../connectors/dicom/association.ts";
import { pduTypes, releaseRp } from "../../connectors/dicom/pdu.ts";
import { countOf } from "../../connectors/dicom/query.ts";
import { encodeElement } from "../../formats/dicom-encode.ts";
import { encodingOf } from "../../formats/dicom-tokens.ts";
import { command, pdv, playing, type ScriptedPeer } from "../dicom-peer.ts";
import { context, settings, stopAfterEach } from "./dicom-listening.ts";

stopAfterEach();

const implicit = "1.2.840.10008.1.2";
let stop = (): void => undefined;
afterEach(() => stop());

/** A PACS that answers one C-FIND: `play` sends answers, with the match or, at the end, without. */
async function finding(
  play: (peer: ScriptedPeer, answer: (status: number, match?: Buffer) => Buffer) => Promise<unknown>,
): Promise<number> {
  const pacs = await playing(async (peer) => {
    const request = readRequest((await peer.next())?.body ?? Buffer.alloc(0));
    const accepted = request.contexts.map((each) => ({ ...each, result: 0 as const, transferSyntax: implicit }));
    peer.send(writeAccept(request, accepted, 16_384));
    const { contextId, command: asked } = await peer.message();
    const of = [
      [0x100, 0x8020],
      [0x120, Number(asked.get(0x110))],
    ] as const;
    await play(peer, (status, match) => {
      const said = command(contextId, ...of, [0x800, match ? 0 : 0x101], [0x900, status]);
      return match ? Buffer.concat([said, pdv(contextId, false, true, match)]) : said;
    });
  });
  ({ stop } = pacs);
  return pacs.port;
}
const match = Buffer.concat(
  [[0x0020000d, "UI", "1.2.3"] as const, [0x00201208, "IS", "12"] as const].map(([tag, vr, value]) =>
    encodeElement(tag, vr, Buffer.from(value), encodingOf(implicit)),
  ),
);

test("a warning with an answer (FF01) is not the last one: the association is not released before that", async () => {
  const told: number[] = [];
  const port = await finding(async (peer, answer) => {
    peer.send(answer(0xff01, match));
    // One that looks for more and takes its time; a release ends the search.
    const next = await Promise.race([
      peer.next(),
      new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 300)),
    ]);
    if (next) told.push(next.type);
    if (next?.type === pduTypes.releaseRq) return void peer.socket.end(releaseRp);
    peer.send(answer(0));
    await peer.next();
    return peer.socket.end(releaseRp);
  });
  expect(await countOf(settings(port, { responseSeconds: 5 }), "1.2.3", context.signal)).toBe(12);
  expect(told).toEqual([]);
});

test("answers without an end are read up to a limit, and then no more", async () => {
  let closed: Promise<unknown> | undefined;
  const port = await finding(async (peer, answer) => {
    peer.socket.on("error", () => undefined);
    closed = new Promise((resolve) => peer.socket.once("close", resolve));
    const many = Buffer.concat(Array.from({ length: 1_000 }, () => answer(0xff00, match)));
    while (!peer.socket.destroyed)
      if (!peer.socket.write(many)) await Promise.race([once(peer.socket, "drain"), closed]);
  });
  await expect(countOf(settings(port, { responseSeconds: 5 }), "1.2.3", context.signal)).rejects.toMatchObject({
    code: "TOO_LARGE",
    message: expect.stringMatching(/gives more than 10000 answers at study level$/),
  });
  await closed;
}, 60_000);
