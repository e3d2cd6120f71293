/** DCMTK as the real PACS on both sides, and Orthanc at hospital B: what arrives is what hospital A received. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { ports } from "../../commands/demo/ports.ts";
import { dicomSource } from "../../connectors/dicom/scp.ts";
import { readHead } from "../../formats/dicom.ts";
import { ctStudy, encapsulatedPdf, multiFrame } from "../fixtures/dicom.ts";
import { sampleMessage } from "../fixtures/documents.ts";
import { peer } from "../peers.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";

const run = promisify(execFile);
/** As packaged, each instance waits 45 ms for Nagle. */
const env = { ...process.env, TCP_NODELAY: "1" };
const study = [...ctStudy({ instancesPerSeries: 5 }), ...encapsulatedPdf(), ...multiFrame()];
const stops: (() => unknown)[] = [];
let pki: string;

beforeAll(async () => {
  pki = await testPki();
});
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

function files(): string[] {
  const folder = mkdtempSync(join(tmpdir(), "semrs-dicom-"));
  return study.map(({ name, bytes }) => {
    const file = join(folder, name);
    writeFileSync(file, bytes);
    return file;
  });
}

async function listening(child: ChildProcess, port: string): Promise<void> {
  stops.push(() => child.kill("SIGKILL"));
  await until(
    "the peer listens",
    async () =>
      await run("echoscu", ["-aec", "PACS_B", "127.0.0.1", port], { env }).then(
        () => true,
        () => false,
      ),
  );
}

/** Sends the study with storescu and its report, admits the patient at B. */
async function travel(exchange: TestExchange): Promise<void> {
  await run("storescu", ["-aec", "SEMRS_A", "127.0.0.1", exchange.env.A_PACS ?? "", ...files()], { env });
  await exchange.message(sampleMessage("mdm-t02-116"));
  await exchange.registered(1);
  await exchange.message(sampleMessage("adt-a01"), "B_ADT");
}

const dcmtk = peer("storescu");
describe.skipIf(!dcmtk.available)(`DCMTK ${dcmtk.reason}`, () => {
  test("storescu into hospital A, storescp +B at hospital B: every data set identical", async () => {
    const folder = mkdtempSync(join(tmpdir(), "semrs-storescp-"));
    const { B_PACS = "" } = await ports(["B_PACS"]);
    await listening(
      spawn("storescp", ["+B", "-aet", "PACS_B", "--output-directory", folder, B_PACS], { env, stdio: "ignore" }),
      B_PACS,
    );
    const exchange = await openExchange(pki, { B_PACS });
    stops.push(() => exchange.close());
    await travel(exchange);
    await until("all instances at storescp", () => readdirSync(folder).length === study.length);
    await until("the record delivered", async () => {
      const { records } = await exchange.admin("hospital-b").get<{ records: Record<string, number> }>("/counts");
      return records.delivered === 1;
    });
    const received = new Map(
      readdirSync(folder).map((name) => [
        readHead(readFileSync(join(folder, name))).sopInstanceUid,
        readFileSync(join(folder, name)),
      ]),
    );
    for (const { bytes, sopInstanceUid } of study) {
      const got = received.get(sopInstanceUid) ?? Buffer.alloc(0);
      expect(
        Buffer.compare(got.subarray(readHead(got).offset), Buffer.from(bytes).subarray(readHead(bytes).offset)),
      ).toBe(0);
    }
  });

  test("dcmdump reads every sample instance, and echoscu is answered only by our AE title", async () => {
    for (const file of files()) expect((await run("dcmdump", ["-q", file])).stderr).toBe("");
    const context = { log: () => undefined, signal: new AbortController().signal };
    const options = dicomSource.options.parse({ port: 0, aeTitle: "SEMRS_A" });
    const source = await dicomSource.listen(
      options,
      () => Promise.reject(new Error("nothing is stored here")),
      context,
    );
    stops.push(() => source.stop());
    const port = source.address.split(":")[1] ?? "";
    await run("echoscu", ["-aec", "SEMRS_A", "127.0.0.1", port]);
    await expect(run("echoscu", ["-aec", "OTHER", "127.0.0.1", port])).rejects.toThrow(
      /Called AE Title Not Recognized/,
    );
  });
});

const orthanc = peer("Orthanc");
describe.skipIf(!orthanc.available)(`Orthanc ${orthanc.reason}`, () => {
  test("as PACS B it holds every instance of the study", async () => {
    const folder = mkdtempSync(join(tmpdir(), "semrs-orthanc-"));
    const { B_PACS = "", HTTP = "" } = await ports(["B_PACS", "HTTP"]);
    mkdirSync(join(folder, "db"));
    const configuration = {
      StorageDirectory: join(folder, "db"),
      DicomPort: Number(B_PACS),
      HttpPort: Number(HTTP),
      DicomAet: "PACS_B",
      RemoteAccessAllowed: false,
      AuthenticationEnabled: false,
      Plugins: [],
    };
    writeFileSync(join(folder, "orthanc.json"), JSON.stringify(configuration));
    await listening(spawn("Orthanc", [join(folder, "orthanc.json")], { env, stdio: "ignore" }), B_PACS);
    const exchange = await openExchange(pki, { B_PACS });
    stops.push(() => exchange.close());
    await travel(exchange);
    const held = async () => ((await (await fetch(`http://127.0.0.1:${HTTP}/instances`)).json()) as string[]).length;
    await until("all instances in Orthanc", async () => (await held()) === study.length, 30_000);
  });
});
