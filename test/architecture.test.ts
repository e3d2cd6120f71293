/** Who may import whom, how long a file may be, and that generated documents and samples are current. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { describe, expect, test } from "vitest";
import { references } from "../commands/reference/index.ts";
import { errorCodes } from "../errors.ts";
import { files as samples } from "./fixtures/documents.ts";

const root = join(import.meta.dirname, "..");
const skipped = new Set(["node_modules", ".git", ".semrs", "dist", "coverage", "data", "pki"]);

function sources(folder = root): string[] {
  return readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    if (skipped.has(entry.name)) return [];
    const path = join(folder, entry.name);
    return entry.isDirectory() ? sources(path) : entry.name.endsWith(".ts") ? [relative(root, path)] : [];
  });
}

const all = sources();
const text = (file: string): string => readFileSync(join(root, file), "utf8");
const importsOf = (file: string): string[] =>
  [...text(file).matchAll(/(?:from|import\(|require\() ?"([^"]+)"/g)].map(([, target = ""]) => target);
/** Files that a file imports at run time: not for a type alone. */
const valuesFrom = (file: string): string[] =>
  [...text(file).matchAll(/^(?:import|export) (?!type )([^;"]*?)from "(\.[^"]+)"/gm)]
    .filter(([, names = ""]) => !/^\{(\s*type \w+,?)+\s*\}\s*$/.test(names.trim()))
    .map(([, , target = ""]) => relative(root, resolve(join(root, dirname(file)), target)));
const layerOf = (file: string): string => (file.includes("/") ? (file.split("/")[0] ?? "") : file);

const mayImport: Readonly<Record<string, readonly string[]>> = {
  "errors.ts": [],
  "folder.ts": [],
  "log.ts": [],
  "memory.ts": [],
  "tls.ts": [],
  envelope: ["errors.ts", "memory.ts"],
  formats: ["errors.ts", "memory.ts"],
  store: ["errors.ts", "folder.ts", "memory.ts"],
  connectors: ["errors.ts", "folder.ts", "log.ts", "memory.ts", "tls.ts", "formats"],
  exchange: ["errors.ts", "folder.ts", "log.ts", "memory.ts", "tls.ts", "formats", "envelope", "store"],
  pipeline: ["errors.ts", "log.ts", "memory.ts", "connectors", "formats", "envelope", "store"],
};

/** Where a third-party package may be imported; zod wherever a schema lives. */
const packages: Readonly<Record<string, readonly string[]>> = {
  winston: ["log.ts"],
  "libxml2-wasm": ["formats"],
  "fast-xml-parser": ["formats"],
  "iconv-lite": ["formats"],
  "saxon-js": ["formats"],
  yaml: ["pipeline"],
  express: ["exchange", "pipeline"],
  "prom-client": ["pipeline"],
  "node-hl7-client": ["pipeline"],
  "node-forge": ["commands"],
  "node-hl7-server": ["bench"],
  "@medplum/hl7": ["bench"],
  commander: ["commands", "main.ts", "bench"],
  dcmjs: ["connectors/dicom/query.ts", "bench/dimse-library.ts"],
  "dcmjs-dimse": ["connectors/dicom/query.ts", "bench/dimse-library.ts", "bench/dimse-peer.ts"],
  zod: ["commands", "connectors", "envelope", "formats", "pipeline"],
};

describe("layers", () => {
  test.each(all.filter((file) => mayImport[layerOf(file)]))("%s imports only what its layer may", (file) => {
    const layer = layerOf(file);
    for (const target of importsOf(file).filter((each) => each.startsWith("."))) {
      const other = layerOf(relative(root, resolve(join(root, dirname(file)), target)));
      expect([layer, ...(mayImport[layer] ?? [])], `${file} imports ${target}`).toContain(other);
    }
  });

  test("a connector imports no other connector", () => {
    for (const file of all.filter((each) => each.startsWith("connectors/") && each !== "connectors/index.ts")) {
      const [, own = ""] = file.split("/");
      for (const target of importsOf(file).filter((each) => each.startsWith("."))) {
        const path = relative(root, resolve(join(root, dirname(file)), target));
        const [layer, other = ""] = path.split("/");
        if (layer === "connectors")
          expect([own, "connector.ts", "wire.ts"], `${file} imports ${target}`).toContain(other);
      }
    }
  });

  test("no file takes anything but a type from a file that takes from it", () => {
    const ours = all.filter((file) => !file.startsWith("test/"));
    const taken = new Map(ours.map((file) => [file, valuesFrom(file)]));
    const waysBack = (from: string): readonly string[] => {
      const seen = new Set<string>();
      const walk = (file: string): void =>
        taken.get(file)?.forEach((other) => {
          if (seen.has(other)) return;
          seen.add(other);
          walk(other);
        });
      walk(from);
      return seen.has(from) ? [from] : [];
    };
    expect(ours.flatMap(waysBack)).toEqual([]);
  });

  test("a third-party package is imported where it belongs", () => {
    for (const file of all.filter((each) => !each.startsWith("test/") && each !== "vitest.config.ts")) {
      for (const target of importsOf(file).filter((each) => !each.startsWith(".") && !each.startsWith("node:"))) {
        const allowed = packages[target] ?? [];
        expect(allowed.includes(file) ? file : layerOf(file), `${file} imports ${target}`).toBeOneOf([...allowed]);
      }
    }
  });

  test("envelope takes time, chance and files from nobody: no clock, no disk, no network", () => {
    for (const file of all.filter((each) => each.startsWith("envelope/"))) {
      expect(text(file), file).not.toMatch(/new Date\(\)|Date\.now|node:(fs|net|tls|http|https|timers)/);
    }
  });
});

test("the pipeline reads documents where large ones go to a worker", () => {
  const readers = all.filter((file) => file.startsWith("pipeline/") && /\breadCda\b/.test(text(file)));
  expect(readers).toEqual([]);
});

test("no statement is compiled anew at every use: a parameter of LIMIT or OFFSET is signed (store/sqlite.ts)", () => {
  const ours = all.filter((file) => !file.startsWith("test/") && /\b(LIMIT|OFFSET) \?/.test(text(file)));
  expect(ours).toEqual([]);
});

test("the map of the pipeline names each of its files once", () => {
  const named = [...text("pipeline/README.md").matchAll(/`([\w-]+\.ts)`/g)].map(([, name]) => `pipeline/${name}`);
  expect(named.toSorted()).toEqual(all.filter((file) => file.startsWith("pipeline/")).toSorted());
});

test("no file is over 300 lines", () => {
  const long = all.filter((file) => text(file).trimEnd().split("\n").length > 300);
  expect(long).toEqual([]);
});

test("helpers of tests hook nothing when they are imported, since a worker imports them once for many files (vitest.config.ts)", () => {
  const helpers = all.filter((file) => file.startsWith("test/") && !file.endsWith(".test.ts"));
  expect(helpers.filter((file) => /^(before|after)(Each|All)\(/m.test(text(file)))).toEqual([]);
});

test("no file writes to the console", () => {
  expect(all.filter((file) => /\bconsole\./.test(text(file)) && file !== "test/architecture.test.ts")).toEqual([]);
});

test.each(Object.keys(references))("%s is what the schemas say (node commands/reference/index.ts)", (file) => {
  expect(text(file)).toBe(references[file]?.());
});

test("every error code is documented", () => {
  for (const code of errorCodes) expect(text("docs/reference/errors.md")).toContain(`\`${code}\``);
});

test("the sample files are what their script makes (node test/fixtures/documents.ts)", () => {
  for (const [name, bytes] of Object.entries(samples)) {
    const file = join(root, "test", "fixtures", name);
    expect(statSync(file).isFile()).toBe(true);
    expect(Buffer.compare(readFileSync(file), bytes), name).toBe(0);
  }
});

test("the program evaluates no text and starts no other program, but the demo its own sites", () => {
  const program = all.filter((file) => !/^(test|bench)\//.test(file));
  const starting = /node:(child_process|vm|repl)"|\bnew Function\(|(^|[^.\w])eval\(/m;
  expect(program.filter((file) => starting.test(text(file)))).toEqual(["commands/demo/sites.ts"]);
});
