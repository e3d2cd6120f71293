/** C-FIND at a PACS that does without a key that it was asked for, and says so with each answer. */
import { afterEach, expect, test } from "vitest";
import { readRequest, writeAccept } from "../../connectors/dicom/association.ts";
import { pduTypes, releaseRp } from "../../connectors/dicom/pdu.ts";
import { countOf } from "../../connectors/dicom/query.ts";
import { encodeElement } from "../../formats/dicom-encode.ts";
import { encodingOf } from "../../formats/dicom-tokens.ts";
import { command, pdv, playing } from "../dicom-peer.ts";
import { context, settings } from "./dicom-listening.ts";

const implicit = "1.2.840.10008.1.2";
let stop = (): void => undefined;
afterEach(() => stop());

test("a warning with an answer (FF01) is not the last one: the association is not released before that", async () => {
  const told: number[] = [];
  const pacs = await playing(async (peer) => {
    const request = readRequest((await peer.next())?.body ?? Buffer.alloc(0));
    const accepted = request.contexts.map((each) => ({ ...each, result: 0 as const, transferSyntax: implicit }));
    peer.send(writeAccept(request, accepted, 16_384));
    const { contextId, command: asked } = await peer.message();
    const answer = (status: number, dataSetType: number): Buffer =>
      command(contextId, [0x100, 0x8020], [0x120, Number(asked.get(0x110))], [0x800, dataSetType], [0x900, status]);
    const match = Buffer.concat(
      [[0x0020000d, "UI", "1.2.3"] as const, [0x00201208, "IS", "12"] as const].map(([tag, vr, value]) =>
        encodeElement(tag, vr, Buffer.from(value), encodingOf(implicit)),
      ),
    );
    peer.send(answer(0xff01, 0), pdv(contextId, false, true, match));
    // One that looks for more and takes its time; a release ends the search.
    const next = await Promise.race([
      peer.next(),
      new Promise<undefined>((resolve) => setTimeout(() => resolve(undefined), 300)),
    ]);
    if (next) told.push(next.type);
    if (next?.type === pduTypes.releaseRq) return void peer.socket.end(releaseRp);
    peer.send(answer(0, 0x101));
    await peer.next();
    peer.socket.end(releaseRp);
  });
  stop = pacs.stop;
  expect(await countOf(settings(pacs.port, { responseSeconds: 5 }), "1.2.3", context.signal)).toBe(12);
  expect(told).toEqual([]);
});
