/** The harness: a workload with its peer runs, proves what it did, and prints rows. Figures are not judged here. */
import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, test } from "vitest";
import { measure, type Workload } from "../bench/harness.ts";

const root = join(import.meta.dirname, "..");

test("rows as JSON, ours beside its peer or the reason why it is missing", () => {
  const args = [join(root, "bench/index.ts"), "--only", "mllp-accept", "--quick", "--repetitions", "1", "--json"];
  const { status, stdout } = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 110_000 });
  expect(status).toBe(0);
  const { rows } = JSON.parse(stdout) as {
    rows: { name: string; ours: number; peers: { name: string }[] }[];
  };
  expect(rows).toHaveLength(4);
  for (const row of rows) {
    expect(row.ours).toBeGreaterThan(0);
    const npm = row.name.startsWith("ADT of") ? ["node-hl7-server", "@medplum/hl7"] : [];
    const python = /^(ADT|MDM).* after fsync/.test(row.name) ? ["python3-hl7"] : [];
    expect(row.peers.map(({ name }) => name)).toEqual([...python, ...npm]);
  }
}, 120_000);

test("an unknown workload is a wrong use", () => {
  const { status, stderr } = spawnSync(process.execPath, [join(root, "bench/index.ts"), "--only", "nowhere"], {
    encoding: "utf8",
  });
  expect(status).toBe(64);
  expect(stderr).toMatch(
    /there is mllp-accept, mllp-limits, night-batch, dicom-accept, dicom-send, bytes-changed, seal-open, envelope-parts, cda, corridor[a-z, -]*, scale, scale-documents, scale-sealing, scale-studies, scale-connections, scale-registrations, scale-pages$/m,
  );
});

test("sides run in turn after a warm-up; a missing peer is named; a run that fails its check ends the measurement", async () => {
  const runs: string[] = [];
  const stopped: string[] = [];
  const side = (name: string, isBroken = false) => ({
    name,
    start: async () => ({
      run: async (units: number) => {
        runs.push(name);
        if (isBroken && runs.length > 3) throw new Error("9 of 10 arrived");
        return { units, seconds: name === "semrs" ? 1 : 2, cpuMs: 10, rssMb: 5 };
      },
      stop: async () => void stopped.push(name),
    }),
  });
  const workload: Workload = {
    name: "w",
    unit: "units/s",
    target: { ratio: 2, rate: 11 },
    units: 10,
    quick: 1,
    ours: side("semrs"),
    peers: [side("peer"), { name: "absent", start: async () => ({ missing: "it is not installed" }) }],
  };
  const options = { repetitions: 2, isQuick: false, told: () => undefined };
  const row = await measure(workload, options);
  expect(runs).toEqual(["semrs", "peer", "semrs", "peer", "semrs", "peer"]);
  expect(row).toMatchObject({ ours: { rate: { median: 10 }, cpuMs: { median: 1 } }, met: false });
  expect(row.peers).toMatchObject([
    { name: "peer", ratio: 2 },
    { name: "absent", missing: "it is not installed" },
  ]);
  expect(stopped).toEqual(["semrs", "peer"]);
  runs.splice(0);
  await measure({ ...workload, warmUps: 3 }, options);
  expect(runs.slice(0, 6)).toEqual(["semrs", "semrs", "semrs", "peer", "peer", "peer"]);
  expect(runs).toHaveLength(10);
  runs.splice(0);
  stopped.splice(2);
  await expect(measure({ ...workload, peers: [side("peer", true)] }, options)).rejects.toThrow("9 of 10 arrived");
  expect(stopped).toHaveLength(4);
});
