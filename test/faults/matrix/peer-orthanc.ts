/** Orthanc in our place: instances by C-STORE on four associations, told to be stored, and there afterwards or not. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ports } from "../../../commands/demo/ports.ts";
import type { Item, Outcome } from "../../../connectors/connector.ts";
import { dicomDestination } from "../../../connectors/dicom/scu.ts";
import { ctStudy } from "../../fixtures/dicom.ts";
import { dicomItem } from "../../fixtures/dicom-item.ts";
import { dataSetSha256, until } from "../../sites.ts";
import type { Peer } from "./peers.ts";

const associations = 4;
const context = { log: () => undefined, signal: new AbortController().signal };

export const orthanc: Peer = {
  name: "Orthanc",
  open: async (under = mkdtempSync(join(tmpdir(), "semrs-orthanc-"))) => {
    const { PACS = "", HTTP = "" } = await ports(["PACS", "HTTP"]);
    const folder = join(under, "orthanc");
    // Its own defaults, but for where it lies and listens.
    const settings = {
      StorageDirectory: folder,
      IndexDirectory: folder,
      DicomPort: Number(PACS),
      HttpPort: Number(HTTP),
      DicomAet: "ORTHANC",
      DicomCheckCalledAet: false,
      RemoteAccessAllowed: false,
      Plugins: [],
    };
    const scratch = mkdtempSync(join(tmpdir(), "semrs-orthanc-"));
    const file = join(scratch, "orthanc.json");
    writeFileSync(file, JSON.stringify(settings));
    const get = async (path: string): Promise<Response> => await fetch(`http://127.0.0.1:${HTTP}${path}`);
    const acknowledged = new Map<string, string>();
    let server: ChildProcess | undefined;
    const start = async (): Promise<void> => {
      server = spawn("Orthanc", [file], { stdio: "ignore" });
      const isUp = () =>
        get("/system").then(
          ({ ok }) => ok,
          () => false,
        );
      await until("it answers", isUp, 60_000);
    };
    const kill = async (): Promise<void> => {
      if (!server || server.exitCode !== null || server.signalCode !== null) return;
      const ended = once(server, "exit");
      server.kill("SIGKILL");
      await ended;
    };
    await start();
    let first = 1;
    const options = { host: "127.0.0.1", port: Number(PACS), callingAeTitle: "PACS_A", calledAeTitle: "ORTHANC" };
    return {
      acknowledged,
      start,
      kill,
      load: () => {
        let isOver = false;
        const running = Array.from({ length: associations }, async () => {
          while (!isOver) {
            const files = ctStudy({ instancesPerSeries: 10, first });
            first += 10;
            const items = files.map(({ bytes }) => dicomItem(bytes));
            const digests = new Map(items.map(({ controlId }, n) => [controlId, dataSetSha256(bytesOf(files[n]))]));
            const report = ({ controlId }: Item, { state }: Outcome): void => {
              if (state === "delivered") acknowledged.set(controlId, digests.get(controlId) ?? "");
            };
            await dicomDestination
              .send(dicomDestination.options.parse(options), each(items), report, context)
              .catch(() => new Promise((resolve) => setTimeout(resolve, 50)));
          }
        });
        return async () => {
          isOver = true;
          await Promise.all(running);
        };
      },
      held: async () => {
        const held = new Map<string, string>();
        for (const id of (await (await get("/instances")).json()) as readonly string[]) {
          const answer = await get(`/instances/${id}/file`);
          const { MainDicomTags } = (await (await get(`/instances/${id}`)).json()) as {
            MainDicomTags: { SOPInstanceUID: string };
          };
          const bytes = new Uint8Array(await answer.arrayBuffer());
          // One that the index names and the disk does not have has no digest.
          held.set(MainDicomTags.SOPInstanceUID, answer.ok && bytes.length > 0 ? dataSetSha256(bytes) : "");
        }
        return held;
      },
      close: async () => {
        await kill();
        for (const each of [folder, scratch]) rmSync(each, { recursive: true, force: true });
      },
    };
  },
};

const bytesOf = (sample: { readonly bytes: Uint8Array } | undefined): Uint8Array => sample?.bytes ?? new Uint8Array();

async function* each<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}
