/** C-STORE as SCU to foreign peers: DCMTK's storescp on several associations and over TLS, and a server of dcmjs-dimse. */
import { spawn } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { ports } from "../../commands/demo/ports.ts";
import { initPki } from "../../commands/pki/index.ts";
import type { Outcome } from "../../connectors/connector.ts";
import { type DicomItem, dicomDestination, echo } from "../../connectors/dicom/scu.ts";
import type { Tls } from "../../connectors/wire.ts";
import { readHead } from "../../formats/dicom.ts";
import { ctStudy, encapsulatedPdf, mrStudy, multiFrame } from "../fixtures/dicom.ts";
import { dicomItem } from "../fixtures/dicom-item.ts";
import { peer } from "../peers.ts";
import { dataSetSha256, until } from "../sites.ts";
import { startOrthanc } from "./orthanc.ts";

const context = { log: () => undefined, signal: new AbortController().signal };
const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});
const study = [...ctStudy({ instancesPerSeries: 6 }), ...mrStudy(), ...encapsulatedPdf(), ...multiFrame()];
const digests = new Map(study.map(({ bytes, sopInstanceUid }) => [sopInstanceUid, dataSetSha256(bytes)]));

async function* items(count: number): AsyncGenerator<DicomItem> {
  for (const { bytes } of study.slice(0, count)) yield dicomItem(bytes);
}
async function sent(port: string, change: object, count = study.length): Promise<readonly Outcome[]> {
  const settings = {
    host: "localhost",
    port: Number(port),
    callingAeTitle: "SEMRS_B",
    calledAeTitle: "PACS_B",
    ...change,
  };
  const options = dicomDestination.options.parse(settings);
  await echo(options, context);
  const outcomes: Outcome[] = [];
  await dicomDestination.send(options, items(count), (_item, outcome) => outcomes.push(outcome), context);
  return outcomes;
}
const answers = (port: string): Promise<boolean> =>
  new Promise((resolve) => {
    const socket = connect(Number(port), "127.0.0.1", () => {
      socket.destroy();
      resolve(true);
    });
    socket.on("error", () => resolve(false));
  });

const storescp = peer("storescp");
describe.skipIf(!storescp.available)(`storescp ${storescp.reason}`, () => {
  const started = async (...more: string[]): Promise<{ port: string; folder: string }> => {
    const folder = mkdtempSync(join(tmpdir(), "semrs-storescp-"));
    const { PACS = "" } = await ports(["PACS"]);
    const args = ["+B", "-aet", "PACS_B", "-od", folder, ...more, PACS];
    const child = spawn("storescp", args, { env: { ...process.env, TCP_NODELAY: "1" }, stdio: "ignore" });
    stops.push(() => child.kill("SIGKILL"));
    await until("storescp listens", () => answers(PACS));
    return { port: PACS, folder };
  };
  const held = (folder: string): Map<string, string> =>
    new Map(
      readdirSync(folder).map((name) => {
        const bytes = readFileSync(join(folder, name));
        return [readHead(bytes).sopInstanceUid, dataSetSha256(bytes)];
      }),
    );

  test.for([1, 4])("holds every data set byte for byte after %i associations", async (associations) => {
    const { port, folder } = await started("--fork");
    const outcomes = await sent(port, { associations });
    expect(outcomes.map(({ state }) => state)).toEqual(study.map(() => "delivered"));
    expect(held(folder)).toEqual(digests);
  });

  test("one that serves an association at a time is asked what it takes when ours is over", async () => {
    const { port } = await started("+xi");
    const outcomes = await sent(port, { connectSeconds: 2 });
    const refused = outcomes.filter(({ state }) => state === "refused");
    expect(refused).not.toEqual([]);
    for (const outcome of refused)
      expect(outcome).toMatchObject({
        reason: expect.stringMatching(/; it takes of that class 1\.2\.840\.10008\.1\.2$/),
      });
  });

  test("over TLS with both certificates; one of another authority is not sent to", async () => {
    const make = async (): Promise<string> => {
      const folder = mkdtempSync(join(tmpdir(), "semrs-pki-"));
      await initPki(folder, ["a", "b"], { now: new Date() });
      return folder;
    };
    const [pki, foreign] = [await make(), await make()];
    const { port, folder } = await started(
      "--fork",
      "+tls",
      `${pki}/b/tls.key`,
      `${pki}/b/tls.crt`,
      "+cf",
      `${pki}/ca.crt`,
      "-rc",
    );
    const tls = (from: string): NonNullable<Tls> => ({
      key: readFileSync(`${from}/a/tls.key`, "utf8"),
      certificate: readFileSync(`${from}/a/tls.crt`, "utf8"),
      ca: readFileSync(`${from}/ca.crt`, "utf8"),
      clientCertificate: "require",
    });
    await sent(port, { associations: 2, tls: tls(pki) });
    expect(held(folder)).toEqual(digests);
    await expect(sent(port, { tls: tls(foreign) })).rejects.toMatchObject({ code: "CERTIFICATE_INVALID" });
  });
});

const orthanc = peer("Orthanc");
describe.skipIf(!orthanc.available)(`Orthanc ${orthanc.reason}`, () => {
  test("one that does not know us takes an association and aborts at the first instance: told what to enter", async () => {
    const pacs = await startOrthanc("PACS_B", {}, { DicomAlwaysAllowStore: false });
    stops.push(pacs.stop);
    // It depends on how much of the instance is on its way by then which of them says so.
    const told = await sent(String(pacs.port), { ourPort: 11_112 }, 1).then(
      ([outcome]) => (outcome?.state === "ambiguous" ? outcome.reason : ""),
      (thrown: Error) => thrown.message,
    );
    expect(told).toMatch(/if it does not know us, .* enter it: AE title SEMRS_B, host [0-9a-f.:]+, port 11112$/);
    await pacs.rest("/modalities/semrs", { AET: "SEMRS_B", Host: "127.0.0.1", Port: 11_112 });
    expect(await sent(String(pacs.port), {}, 1)).toMatchObject([{ state: "delivered" }]);
  });
});

test("a server of dcmjs-dimse takes every instance on two associations, in the syntax that it is stored in", async () => {
  const { Server, Scp, responses, constants, log } = createRequire(import.meta.url)(
    "dcmjs-dimse",
  ) as typeof import("dcmjs-dimse");
  log.setLevel("silent", false);
  const dcmjs = createRequire(import.meta.url)("dcmjs") as { readonly log: { setLevel(level: string): void } };
  dcmjs.log.setLevel("silent");
  const took = new Map<string, string>();
  class Pacs extends Scp {
    override associationRequested(association: import("dcmjs-dimse").association.Association): void {
      for (const { id } of association.getPresentationContexts()) {
        const each = association.getPresentationContext(id);
        each.setResult(constants.PresentationContextResult.Accept, each.getTransferSyntaxUids()[0]);
      }
      this.sendAssociationAccept();
    }
    override cEchoRequest(
      request: import("dcmjs-dimse").requests.CEchoRequest,
      done: (response: import("dcmjs-dimse").responses.CEchoResponse) => void,
    ): void {
      const response = responses.CEchoResponse.fromRequest(request);
      response.setStatus(constants.Status.Success);
      done(response);
    }
    override cStoreRequest(
      request: import("dcmjs-dimse").requests.CStoreRequest,
      done: (response: import("dcmjs-dimse").responses.CStoreResponse) => void,
    ): void {
      took.set(request.getAffectedSopInstanceUid(), request.getDataset()?.getTransferSyntaxUid() ?? "");
      const response = responses.CStoreResponse.fromRequest(request);
      response.setStatus(constants.Status.Success);
      done(response);
    }
    override associationReleaseRequested(): void {
      this.sendAssociationReleaseResponse();
    }
  }
  const server = new Server(Pacs);
  const { PACS = "" } = await ports(["PACS"]);
  server.listen(Number(PACS));
  stops.push(() => server.close());
  const outcomes = await sent(PACS, { associations: 2, host: "127.0.0.1" });
  expect(outcomes.map(({ state }) => state)).toEqual(study.map(() => "delivered"));
  expect(took).toEqual(
    new Map(study.map(({ bytes, sopInstanceUid }) => [sopInstanceUid, readHead(bytes).transferSyntaxUid])),
  );
});
