/** Broken PDUs and DICOM files from seeds: no reader depends on how the octets are cut, and each fails with what it says it fails with. */
import { deflateRawSync } from "node:zlib";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Running } from "../../connectors/connector.ts";
import { readRequest } from "../../connectors/dicom/association.ts";
import { readCommand } from "../../connectors/dicom/dimse.ts";
import { openPduReader, ProtocolError, pduTypes } from "../../connectors/dicom/pdu.ts";
import { dicomSource } from "../../connectors/dicom/scp.ts";
import { codeOf } from "../../errors.ts";
import { deflatedExplicitLittle, inspectDicom, part10Header, readMeta } from "../../formats/dicom.ts";
import { readInstancePatient } from "../../formats/dicom-file.ts";
import { spliceIdentity } from "../../formats/dicom-splice.ts";
import { associated, associateRq, command, ct, dial, echoRq, explicitLittle, pdv, storeRq } from "../dicom-peer.ts";
import { ctStudy, encapsulatedPdf, mrStudy, multiFrame } from "../fixtures/dicom.ts";
import { broken, type Chance, fuzz, fuzzSeconds, typed } from "../seeded.ts";

/** Seeds that found something. */
const kept: readonly number[] = [1, 20_241, 777_001];
const timeout = (fuzzSeconds + 60) * 1000;
const telling = [0x00, 0x01, 0x04, 0x07, 0x10, 0x20, 0x30, 0x40, 0x50, 0x51, 0x7f, 0xff];
const maxPdu = 16_384;

const [first = { bytes: new Uint8Array() }] = ctStudy({ instancesPerSeries: 1, size: 8 });
const contexts = Array.from({ length: 5 }, (_, n) => ({
  id: n * 2 + 1,
  abstractSyntax: ct,
  transferSyntaxes: [explicitLittle, "1.2.840.10008.1.2"],
}));
const stored = Buffer.from(first.bytes).subarray(400);
const conversation = Buffer.concat([
  associateRq(contexts),
  echoRq(),
  storeRq("1.2.3.4"),
  pdv(1, false, false, stored.subarray(0, 300)),
  pdv(1, false, true, stored.subarray(300)),
  command(3, [0x100, 0x20], [0x110, 9], [0x700, 0], [0x800, 0x101]),
]);

/** Whole PDUs and messages of a stream, and the error that it ended with. */
function read(bytes: Buffer, piece: () => number): readonly (readonly [string, Buffer])[] {
  const heard: (readonly [string, Buffer])[] = [];
  let pieces: Uint8Array[] = [];
  const push = openPduReader(maxPdu, {
    control: (type, body) => void heard.push([`control ${type}`, Buffer.from(body)]),
    fragment: ({ isCommand, isLast, contextId, bytes: part }) => {
      pieces.push(Uint8Array.from(part));
      if (!isLast) return;
      heard.push([isCommand ? "command" : `data ${contextId}`, Buffer.concat(pieces)]);
      pieces = [];
    },
  });
  try {
    for (let at = 0; at < bytes.length; ) {
      const size = piece();
      push(bytes.subarray(at, at + size));
      at += size;
    }
  } catch (thrown) {
    if (!(thrown instanceof ProtocolError)) throw thrown;
    heard.push([`error ${thrown.reason} ${thrown.message}`, Buffer.alloc(0)]);
  }
  return heard;
}

/** Ends well, or breaks the protocol. */
function protocol(work: () => unknown): void {
  try {
    work();
  } catch (thrown) {
    if (!(thrown instanceof ProtocolError)) throw thrown;
  }
}

test(
  "PDUs: the same messages however the stream is cut; commands and association requests are read, or break the protocol",
  async () => {
    const runs = await fuzz(
      (random: Chance) => {
        const changed = broken(conversation, telling, random);
        const whole = read(changed, () => changed.length);
        expect(read(changed, () => 1 + random(100))).toEqual(whole);
        // What is broken in a PDU rarely leaves the PDU whole: bodies are broken by themselves as well.
        for (const [what, body] of [...whole, ...read(conversation, () => conversation.length)]) {
          const bodies = [body, broken(body, telling, random)];
          if (what === "command") for (const each of bodies) protocol(() => readCommand(each));
          if (what === `control ${pduTypes.associateRq}`) for (const each of bodies) protocol(() => readRequest(each));
        }
      },
      kept,
      0.3,
    );
    expect(runs).toBeGreaterThan(100);
  },
  timeout,
);

const identity = {
  patientId: "0034567",
  issuerOfPatientId: "HOSPB",
  accessionNumber: undefined,
  modifiedAt: new Date("2026-01-02T03:04:05Z"),
  modifyingSystem: "SEMRS",
  source: "HOSPA",
};
async function* cut(bytes: Buffer, random: Chance): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; ) {
    const size = 1 + random(500);
    yield bytes.subarray(at, at + size);
    at += size;
  }
}

/** The same instance with its data set deflated. */
function deflated(file: Buffer): Buffer {
  const { sopClassUid, sopInstanceUid, offset } = readMeta(file);
  const head = part10Header(sopClassUid, sopInstanceUid, deflatedExplicitLittle);
  return Buffer.concat([head, deflateRawSync(file.subarray(offset))]);
}

/** What an inspector finds, or the code of its refusal. */
async function inspected(pieces: Iterable<Uint8Array>): Promise<unknown> {
  const inspector = inspectDicom();
  try {
    for (const piece of pieces) await inspector.push(piece);
    await inspector.ended();
    return { facts: inspector.finish(), findings: inspector.findings() };
  } catch (thrown) {
    if (codeOf(thrown) === "UNEXPECTED") throw thrown;
    return codeOf(thrown);
  }
}

test(
  "files: the same facts however they are cut; inspected, read and spliced, or refused with a typed fault",
  async () => {
    const samples: Buffer[] = [first, ...mrStudy(), ...encapsulatedPdf(), ...multiFrame()].map(({ bytes }) =>
      Buffer.from(bytes),
    );
    samples.push(...samples.slice(0, 3).map(deflated));
    const runs = await fuzz(
      async (random: Chance) => {
        const changed = broken(samples[random(samples.length)] ?? stored, telling, random);
        const pieces = await Array.fromAsync(cut(changed, random));
        expect(await inspected(pieces)).toEqual(await inspected([changed]));
        await typed(() => readInstancePatient(cut(changed, random)));
        await typed(async () => {
          for await (const _ of spliceIdentity(cut(changed, random), identity));
        });
      },
      kept,
      0.4,
    );
    expect(runs).toBeGreaterThan(100);
  },
  timeout,
);

let source: Running;
beforeAll(async () => {
  const settings = dicomSource.options.parse({ port: 0, aeTitle: "SEMRS_A", artimSeconds: 0.1, idleSeconds: 0.2 });
  const deliver = async ({ body }: { readonly body: AsyncIterable<Uint8Array> }) => {
    for await (const _ of body);
    return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
  };
  source = await dicomSource.listen(settings, deliver, { log: () => undefined, signal: new AbortController().signal });
});
afterAll(() => source.stop());

test(
  "the listener: whatever is said to it, it ends the association and answers the next C-ECHO",
  async () => {
    const port = Number(source.address.split(":")[1]);
    const runs = await fuzz(
      async (random: Chance) => {
        const peer = await dial(port);
        peer.send(broken(conversation, telling, random));
        peer.socket.end();
        await peer.closed();
        peer.socket.destroy();
      },
      kept,
      0.3,
    );
    expect(runs).toBeGreaterThan(kept.length);
    const peer = await associated(port);
    peer.send(echoRq());
    expect((await peer.message()).command.get(0x900)).toBe(0);
    peer.socket.destroy();
  },
  timeout,
);
