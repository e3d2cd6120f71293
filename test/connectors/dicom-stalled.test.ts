/** A peer that stops in the middle of something is aborted soon; one that is only silent may be so for long. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Deliver, Running } from "../../connectors/connector.ts";
import { pduTypes } from "../../connectors/dicom/pdu.ts";
import { dicomSource } from "../../connectors/dicom/scp.ts";
import { associated, echoRq, pdv, type ScriptedPeer, storeRq } from "../dicom-peer.ts";

const deliver: Deliver = async ({ body }) => {
  for await (const _piece of body);
  return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
};

/** The PDU type that ends it; the peer closes first, as the standard has it (PS3.8 9.2.3: the acceptor waits for that). */
async function untilAborted(peer: ScriptedPeer): Promise<number | undefined> {
  for (;;) {
    const type = (await peer.next())?.type;
    if (type !== undefined && type !== pduTypes.abort) continue;
    peer.socket.destroy();
    return type;
  }
}

describe("who stops within a message is aborted long before an association may fall silent", () => {
  let patient: Running;
  beforeAll(async () => {
    const settings = dicomSource.options.parse({ port: 0, aeTitle: "SEMRS_A", stallSeconds: 0.1, idleSeconds: 3_600 });
    patient = await dicomSource.listen(settings, deliver, {
      log: () => undefined,
      signal: new AbortController().signal,
    });
  });
  afterAll(() => patient.stop());

  test.each<[string, readonly Uint8Array[]]>([
    ["three octets of a PDU", [Buffer.from([4, 0, 0])]],
    ["half a PDU", [echoRq().subarray(0, 30)]],
    ["half a command", [pdv(1, true, false, echoRq().subarray(12, 32))]],
    ["a command without its data set", [storeRq("1.2.3.5")]],
    ["half an instance", [storeRq("1.2.3.6"), pdv(1, false, false, Buffer.alloc(1_000))]],
    [
      "half an instance behind a whole one",
      [storeRq("1.2.3.7"), pdv(1, false, true, Buffer.alloc(9)), storeRq("1.2.3.8")],
    ],
  ])("%s", async (_name, pdus) => {
    const peer = await associated(Number(patient.address.split(":")[1]));
    peer.send(...pdus);
    expect(await untilAborted(peer)).toBe(pduTypes.abort);
  });

  test("and one that is only silent is not: after three times that long it is answered", async () => {
    const peer = await associated(Number(patient.address.split(":")[1]));
    for (let n = 0; n < 2; n += 1) {
      peer.send(echoRq());
      expect((await peer.message()).command.get(0x900)).toBe(0);
      // As long as three others take to be aborted one after the other.
      for (let other = 0; other < 3; other += 1) {
        const stalled = await associated(Number(patient.address.split(":")[1]));
        stalled.send(storeRq("1.2.3.9"));
        expect(await untilAborted(stalled)).toBe(pduTypes.abort);
      }
    }
    peer.socket.destroy();
  });

  test("by default that is 10 s, as for a request that does not come", () => {
    expect(dicomSource.options.parse({ port: 0, aeTitle: "A" })).toMatchObject({ artimSeconds: 10, stallSeconds: 10 });
  });
});
