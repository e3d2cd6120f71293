/** Versions of everything that is measured: figures without them cannot be repeated. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";

const programs: Readonly<Record<string, readonly [command: string, ...args: string[]]>> = {
  OpenSSL: ["openssl", "version"],
  DCMTK: ["storescp", "--version"],
  Orthanc: ["Orthanc", "--version"],
  PostgreSQL: ["psql", "--version"],
};
const packages = ["node-hl7-server", "@medplum/hl7", "dcmjs-dimse"] as const;

/** Of the programs that are there, and of the packages in the lock. */
export function versions(): Readonly<Record<string, string>> {
  const installed = Object.entries(programs).flatMap(([name, [command, ...args]]) => {
    try {
      const said = execFileSync(command, args, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });
      const version = /\d+(\.\d+)+[a-z]*/.exec(said)?.[0];
      return version ? [[name, version] as const] : [];
    } catch {
      return [];
    }
  });
  const root = join(import.meta.dirname, "..");
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as Manifest;
  const locked = packages.flatMap((name) => {
    const version = manifest.dependencies?.[name] ?? manifest.devDependencies?.[name];
    return version ? [[name, version] as const] : [];
  });
  return Object.fromEntries([["Node", process.versions.node] as const, ...installed, ...locked]);
}

type Manifest = {
  readonly dependencies?: Readonly<Record<string, string>>;
  readonly devDependencies?: Readonly<Record<string, string>>;
};

export const machine = (): string =>
  `${cpus().length} × ${cpus()[0]?.model.trim() ?? "?"}, ${Math.round(totalmem() / 2 ** 30)} GiB, Linux ${release()}`;
