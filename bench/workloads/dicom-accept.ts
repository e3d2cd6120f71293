/** Instances in: sealed and fsynced by ours, in clear by storescp and Orthanc. */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { ports } from "../../commands/demo/ports.ts";
import type { Side, Workload } from "../harness.ts";
import { ctInstances, sendInstances } from "../load.ts";
import { counted, fresh, missing, startExchange, startPeer } from "../subjects.ts";

export const dicomAccept = (): readonly Workload[] => [
  ...([1, 4] as const).map((associations): Workload => {
    return {
      name: `C-STORE in, CT of 525 kB, ${associations} ${associations === 1 ? "association" : "associations"}`,
      unit: "instances/s",
      target: { rate: associations === 1 ? 300 : 450, cpuMs: 2.5, ratio: 1.4, against: "Orthanc" },
      units: 200,
      quick: 60,
      warmUps: 2,
      ours: ours(associations),
      peers: [orthanc(associations), storescp(associations), dimse(associations)],
    };
  }),
  {
    name: "C-STORE in, instances of 200 MB",
    unit: "instances/s",
    target: { rssMb: 150 },
    units: 2,
    quick: 1,
    ours: ours(1, largeRows),
    peers: [storescp(1, largeRows), orthanc(1, largeRows)],
  },
];

/** Rows and columns of 200 MB. */
const largeRows = 10_000;

/** The ledger: as many instances more in the journal, each with the digest of what came. */
const ours = (associations: number, rows?: number): Side => ({
  name: "semrs",
  start: async () => {
    const exchange = await startExchange();
    const { pid, dicom } = exchange.ready["hospital-a"];
    const [, port = ""] = /:(\d+)$/.exec(dicom) ?? [];
    const kept = async (): Promise<number> =>
      (await exchange.a.get<{ items: Record<string, number> }>("/counts")).items.waiting ?? 0;
    return {
      pid,
      stop: exchange.stop,
      run: async (units) => await timed(units, Number(port), "SEMRS_A", associations, kept, rows),
    };
  },
});

async function timed(
  units: number,
  port: number,
  aeTitle: string,
  associations: number,
  kept: () => number | Promise<number>,
  rows?: number,
) {
  const items = ctInstances(units, rows);
  const before = await kept();
  const started = performance.now();
  await sendInstances(items, port, aeTitle, associations);
  const seconds = (performance.now() - started) / 1000;
  await counted("instances kept", before + units, kept);
  return { units, seconds };
}

const storescp = (associations: number, rows?: number): Side => ({
  name: "storescp",
  remark: "in clear, no fsync",
  start: async () => {
    const reason = missing("storescp");
    if (reason) return { missing: reason };
    const folder = fresh("storescp");
    const { PEER = "" } = await ports(["PEER"]);
    const { pid, stop } = await startPeer(
      "storescp",
      ["--fork", "+xa", "-aet", "PEER", "-od", folder, PEER],
      Number(PEER),
    );
    return {
      pid,
      stop,
      // It forks for each association: its own CPU time says nothing, so none is told.
      run: async (units) => ({
        ...(await timed(units, Number(PEER), "PEER", associations, () => readdirSync(folder).length, rows)),
        cpuMs: Number.NaN,
      }),
    };
  },
});

const dimse = (associations: number): Side => ({
  name: "dcmjs-dimse",
  remark: "in clear, no fsync, encoded anew",
  start: async () => {
    const folder = fresh("dimse");
    const { PEER = "" } = await ports(["PEER"]);
    const program = join(import.meta.dirname, "..", "dimse-peer.ts");
    const { pid, stop } = await startPeer(process.execPath, [program, PEER, folder], Number(PEER));
    const kept = (): number => readdirSync(folder).length;
    return { pid, stop, run: async (units) => await timed(units, Number(PEER), "PEER", associations, kept) };
  },
});

const orthanc = (associations: number, rows?: number): Side => ({
  name: "Orthanc",
  remark: "in clear",
  start: async () => {
    const reason = missing("Orthanc");
    if (reason) return { missing: reason };
    const folder = fresh("orthanc");
    const { PEER = "", HTTP = "" } = await ports(["PEER", "HTTP"]);
    const configuration = {
      StorageDirectory: folder,
      IndexDirectory: folder,
      DicomPort: Number(PEER),
      HttpPort: Number(HTTP),
      DicomAet: "PEER",
      DicomAlwaysAllowStore: true,
      RemoteAccessAllowed: false,
      AuthenticationEnabled: false,
      OverwriteInstances: false,
    };
    const file = join(folder, "orthanc.json");
    writeFileSync(file, JSON.stringify(configuration));
    const { pid, stop } = await startPeer("Orthanc", [file], Number(PEER));
    const kept = async (): Promise<number> => {
      const response = await fetch(`http://127.0.0.1:${HTTP}/statistics`);
      return ((await response.json()) as { CountInstances: number }).CountInstances;
    };
    return { pid, stop, run: async (units) => await timed(units, Number(PEER), "PEER", associations, kept, rows) };
  },
});
