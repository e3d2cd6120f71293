/** C-FIND and C-MOVE as client: Orthanc answers and sends a study to our own listener; other peers answer badly. */

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { initPki } from "../../commands/pki/index.ts";
import { countOf, instancesOf, move, seriesOf } from "../../connectors/dicom/query.ts";
import { dicomSource } from "../../connectors/dicom/scp.ts";
import { type DicomItem, dicomDestination } from "../../connectors/dicom/scu.ts";
import { scriptedPacs } from "../connectors/scripted-pacs.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { dicomItem } from "../fixtures/dicom-item.ts";
import { peer } from "../peers.ts";
import { dataSetSha256 } from "../sites.ts";
import { startOrthanc } from "./orthanc.ts";

const { signal } = new AbortController();
const context = { log: () => undefined, signal };
const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});
const study = ctStudy({ instancesPerSeries: 3, studyUid: "2.25.4711" });
const settings = (port: number, change = {}) =>
  dicomDestination.options.parse({
    host: "127.0.0.1",
    port,
    callingAeTitle: "SEMRS_A",
    calledAeTitle: "PACS_A",
    ...change,
  });

async function* items(): AsyncGenerator<DicomItem> {
  for (const { bytes } of study) yield dicomItem(bytes);
}

const orthanc = peer("Orthanc");
describe.skipIf(!orthanc.available)(`Orthanc ${orthanc.reason}`, () => {
  test("counts a study, names its series and instances, and sends it to our listener byte for byte", async () => {
    const kept = new Map<string, string>();
    const source = await dicomSource.listen(
      dicomSource.options.parse({ port: 0, aeTitle: "SEMRS_A" }),
      async ({ body, controlId }) => {
        const pieces: Uint8Array[] = [];
        for await (const piece of body) pieces.push(piece);
        kept.set(controlId, dataSetSha256(Buffer.concat(pieces)));
        return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
      },
      context,
    );
    stops.push(() => source.stop());
    const pacs = await startOrthanc("PACS_A", {
      semrs: ["SEMRS_A", "127.0.0.1", Number(source.address.split(":")[1])],
    });
    stops.push(() => pacs.stop());
    const at = settings(pacs.port);
    expect(await countOf(at, "2.25.4711", signal)).toBe(0);
    await dicomDestination.send(at, items(), () => undefined, context);
    const stderr = vi.spyOn(process.stderr, "write");
    expect(await countOf(at, "2.25.4711", signal)).toBe(study.length);
    const series = await seriesOf(at, "2.25.4711", signal);
    expect([...series.values()].reduce<number>((sum, count) => sum + (count ?? 0), 0)).toBe(study.length);
    expect([...(await instancesOf(at, "2.25.4711", signal))].sort()).toEqual(
      study.map(({ sopInstanceUid }) => sopInstanceUid).sort(),
    );
    expect(await move(at, "2.25.4711", "SEMRS_A", signal)).toBe(study.length);
    expect(kept).toEqual(new Map(study.map(({ bytes, sopInstanceUid }) => [sopInstanceUid, dataSetSha256(bytes)])));
    expect(stderr).not.toHaveBeenCalled();
    stderr.mockRestore();
    await expect(move(at, "2.25.4711", "NOBODY", signal)).rejects.toMatchObject({
      code: expect.stringMatching(/AE_TITLE_UNKNOWN|PEER_REFUSED/),
    });
  });
});

describe.skipIf(!orthanc.available)(`Orthanc with TLS ${orthanc.reason}`, () => {
  test("counts a study and moves it to our listener, each side shown a certificate; none, or another's, gets no answer", async () => {
    const folder = mkdtempSync(join(tmpdir(), "semrs-query-"));
    await initPki(folder, ["pacs", "semrs"], { now: new Date() });
    const file = (name: string): string => join(folder, name);
    const text = (name: string): string => readFileSync(file(name), "utf8");
    const tls = { key: text("semrs/tls.key"), certificate: text("semrs/tls.crt"), ca: text("ca.crt") };
    const kept: string[] = [];
    const source = await dicomSource.listen(
      dicomSource.options.parse({
        port: 0,
        aeTitle: "SEMRS_A",
        tls,
        callers: [{ aeTitle: "PACS_A", subject: "pacs" }],
      }),
      async ({ body, controlId }) => {
        for await (const _ of body);
        kept.push(controlId);
        return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
      },
      context,
    );
    stops.push(() => source.stop());
    const port = Number(source.address.split(":")[1]);
    const pacs = await startOrthanc("PACS_A", undefined, {
      DicomModalities: { semrs: { AET: "SEMRS_A", Host: "127.0.0.1", Port: port, UseDicomTls: true } },
      DicomTlsEnabled: true,
      DicomTlsPrivateKey: file("pacs/tls.key"),
      DicomTlsCertificate: file("pacs/tls.crt"),
      DicomTlsTrustedCertificates: file("ca.crt"),
    });
    stops.push(() => pacs.stop());
    const at = settings(pacs.port, { host: "localhost", tls });
    await dicomDestination.send(at, items(), () => undefined, context);
    expect(await countOf(at, "2.25.4711", signal)).toBe(study.length);
    expect(await move(at, "2.25.4711", "SEMRS_A", signal)).toBe(study.length);
    expect(kept.sort()).toEqual(study.map(({ sopInstanceUid }) => sopInstanceUid).sort());

    const quick = { host: "localhost", connectSeconds: 1, responseSeconds: 1 };
    await expect(countOf(settings(pacs.port, quick), "2.25.4711", signal)).rejects.toMatchObject({
      code: "PEER_UNREACHABLE",
    });
    const other = mkdtempSync(join(tmpdir(), "semrs-query-"));
    await initPki(other, ["semrs"], { now: new Date() });
    const foreign = { ...tls, ca: readFileSync(join(other, "ca.crt"), "utf8") };
    await expect(countOf(settings(pacs.port, { ...quick, tls: foreign }), "2.25.4711", signal)).rejects.toMatchObject({
      code: "CERTIFICATE_INVALID",
    });
  });
});

const python = peer("python3:pydicom");
describe.skipIf(!python.available)(`a machine that answers no connection ${python.reason}`, () => {
  test("is given up after connectSeconds, however long an answer may take", async () => {
    // Its queue is full, and nobody takes from it.
    const listen = "import socket, time; s = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen(0)";
    const child = spawn("/usr/bin/python3", [
      "-c",
      `${listen}; print(s.getsockname()[1], flush=True); time.sleep(600)`,
    ]);
    stops.push(() => child.kill("SIGKILL"));
    const [told] = (await once(child.stdout, "data")) as [Buffer];
    const port = Number(told.toString());
    for (let waiting = 0; waiting < 4; waiting += 1) {
      const socket = connect(port, "127.0.0.1").on("error", () => undefined);
      stops.push(() => socket.destroy());
    }
    const asked = countOf(settings(port, { connectSeconds: 0.3, responseSeconds: 600 }), "2.25.1", signal);
    await expect(asked).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  }, 30_000);
});

describe("a PACS that answers badly", () => {
  test.for([
    [[1, 1, 3], "AE_TITLE_UNKNOWN"],
    [[2, 3, 1], "PEER_BUSY"],
  ] as const)("rejection %j is %s", async ([rejected, code]) => {
    const pacs = await scriptedPacs({ reject: () => rejected });
    stops.push(() => pacs.stop());
    await expect(countOf(settings(pacs.port), "2.25.1", signal)).rejects.toMatchObject({ code });
  });

  test.for([
    [0xa700, "PEER_BUSY"],
    [0xc000, "PEER_REFUSED"],
    [0x0122, "PEER_REFUSED"],
  ] as const)("status %i is %s", async ([status, code]) => {
    const pacs = await scriptedPacs({ answer: () => status });
    stops.push(() => pacs.stop());
    await expect(countOf(settings(pacs.port), "2.25.1", signal)).rejects.toMatchObject({ code });
  });

  test("a context that is not accepted, silence, garbage and a closed port are faults, not crashes", async () => {
    const refusing = await scriptedPacs({ accepts: () => 3 });
    const silent = await scriptedPacs({ answer: () => undefined });
    const garbage = createServer((socket) => void socket.on("error", () => undefined).end(Buffer.alloc(4096, 0x41)));
    garbage.listen(0, "127.0.0.1");
    await once(garbage, "listening");
    stops.push(
      () => refusing.stop(),
      () => silent.stop(),
      () => garbage.close(),
    );
    const ask = (port: number) =>
      countOf(settings(port, { responseSeconds: 0.3, connectSeconds: 0.3 }), "2.25.1", signal);
    await expect(ask(refusing.port)).rejects.toMatchObject({
      code: "PEER_REFUSED",
      message: expect.stringMatching(/allow us to query/),
    });
    await expect(ask(silent.port)).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
    await expect(ask((garbage.address() as AddressInfo).port)).rejects.toMatchObject({
      code: expect.stringMatching(/^PEER_/),
    });
    await expect(ask(9)).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  });
});
