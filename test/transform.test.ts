/** Transforms: steps and modules on a message's fields, faults of modules, and the document that stays as it is. */
import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdtempSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { readMsh } from "../formats/hl7.ts";
import { valuesOf } from "../formats/hl7-edit.ts";
import type { TransformStep } from "../pipeline/channel-transforms.ts";
import { transformed } from "../pipeline/transform.ts";
import { exchanges } from "./exchanges.ts";
import { adtFor, cda, chen, lin, mdmFor, sampleMessage } from "./fixtures/documents.ts";
import { until } from "./sites.ts";

const document = cda({
  form: "113",
  extension: "T.1",
  patient: chen,
  code: "1-8",
  display: "d",
  title: "t",
  body: "b",
});
const message = mdmFor(document, { controlId: "T1" });
const facts = readMsh(message);
const folder = mkdtempSync(join(tmpdir(), "semrs-transform-"));
const api = join(import.meta.dirname, "..", "pipeline", "transform-worker.ts");
/** A module of an engineer's. */
const written = (name: string, body: string): string => {
  const path = join(folder, name);
  const head = `import type { Transform } from ${JSON.stringify(api)};\n`;
  writeFileSync(path, `${head}const transform: Transform = ${body};\nexport default transform;\n`);
  return path;
};
const use = (name: string, body: string, ms = 30_000): TransformStep => ({
  kind: "use",
  module: written(name, body),
  ms,
});

async function values(field: string, ...steps: readonly TransformStep[]): Promise<readonly string[]> {
  const result = await transformed(steps, { bytes: message, facts }, document);
  return valuesOf(result.bytes, result.facts, field);
}

describe("steps", () => {
  test("set, map and lookup; each sees what the one before it left", async () => {
    const known = new Map([["a|b", "mapped"]]);
    expect(await values("PV1-2", { kind: "set", field: "PV1-2", to: "a|b" })).toEqual(["a|b"]);
    const set: TransformStep = { kind: "set", field: "PV1-2", to: "a|b" };
    expect(await values("PV1-2", set, { kind: "map", field: "PV1-2", values: known, otherwise: undefined })).toEqual([
      "mapped",
    ]);
    expect(await values("PV1-2", set, { kind: "map", field: "PV1-2", values: new Map(), otherwise: "other" })).toEqual([
      "other",
    ]);
    expect(
      await values("PV1-2", set, { kind: "map", field: "PV1-2", values: new Map(), otherwise: undefined }),
    ).toEqual(["a|b"]);
  });
  test.each(["PID-3", "PID-3.4", "PV1-3", "PID-5"])("%s that no map knows stays octet for octet", async (field) => {
    const text = "PID|1||A1^^^HOSPA&1.2.3&ISO~B2^^^MOI||Chen\\T\\Lin^Yi\\.br\\\\H\\Jun\rPV1|1|I|W1^101^A";
    const bytes = Buffer.from(`MSH|^~\\&|H|A|E|A|20260102||ADT^A01|7|P|2.5.1\r${text}\r`);
    const step: TransformStep = { kind: "map", field, values: new Map([["x", "y"]]), otherwise: undefined };
    const result = await transformed([step], { bytes, facts: readMsh(bytes) }, document);
    expect(Buffer.from(result.bytes).toString()).toBe(bytes.toString());
  });
  test.each(["MSH-10", "OBX-5", "ZZZ-1"])("%s is not written", async (field) => {
    await expect(values(field, { kind: "set", field, to: "x" })).rejects.toMatchObject({ code: "TRANSFORM_FAILED" });
  });
  test("a message in Big5 is read and written as what it says", async () => {
    const text =
      "MSH|^~\\&|H|A|E|A|20260102||ADT^A01|7|P|2.5.1||||||BIG-5\rPID|1||1||\xb3\xaf^\xa9\xc9\xa7g\rPV1|1|I\r";
    const bytes = Buffer.from(text, "latin1");
    const steps: TransformStep[] = [use("big5.ts", `({ message }) => message.set("PV1-3", message.get("PID-5.1"))`)];
    const result = await transformed(steps, { bytes, facts: readMsh(bytes) }, document);
    expect(valuesOf(result.bytes, result.facts, "PV1-3")).toEqual(["陳"]);
  });
});

describe("modules", () => {
  const read = ["PID-3", "PID-3.4", "PID-5", "PID-5.7", "OBX-3.1", "OBX-3", "MSH-9", "PV1-3", "NTE-3"];
  test("get of a field is the first that all of it has", async () => {
    const text =
      "PID|1||A1^^^HOSPA&1.2.3&ISO~B2^^^MOI||^^^^^^L\rPV1|1|I|W1^101\rOBX|1|ST|||x\rOBX|2|ST|C1^c|| y\rNTE|1||\rNTE|2||a\\T\\b";
    const bytes = Buffer.from(`MSH|^~\\&|H|A|E|A|20260102||ADT^A01|7|P|2.5.1\r${text}\r`);
    const body = `({ message }) => message.set("PV1-4", JSON.stringify(${JSON.stringify(read)}.map(message.get)))`;
    const result = await transformed([use("first.ts", body)], { bytes, facts: readMsh(bytes) }, document);
    const firsts = read.map((field) => valuesOf(bytes, readMsh(bytes), field)[0] ?? "");
    expect(JSON.parse(valuesOf(result.bytes, result.facts, "PV1-4")[0] ?? "")).toEqual(firsts);
  });
  test.each(["PID-3.4", "PID-3.4.2", "PV1-3", "PV1-3.4", "PID-8"])(
    "what is set in %s is what is read",
    async (field) => {
      const text = "PID|1||A1^^^HOSPA&1.2.3&ISO~B2^^^MOI||Chen\rPV1|1|I|W1^101\rPV1|2|O|W2";
      const bytes = Buffer.from(`MSH|^~\\&|H|A|E|A|20260102||ADT^A01|7|P|2.5.1\r${text}\r`);
      const body = `({ message }) => { message.set("${field}", "a^b"); message.set("PV1-4", message.all("${field}").join()); }`;
      const result = await transformed([use(`set-${field}.ts`, body)], { bytes, facts: readMsh(bytes) }, document);
      const made = valuesOf(result.bytes, result.facts, field);
      expect(new Set(made)).toEqual(new Set(["a^b"]));
      expect(new Set(valuesOf(result.bytes, result.facts, "PV1-4"))).toEqual(new Set([made.join()]));
    },
  );
  test("read and write fields, and read the document", async () => {
    const step = use(
      "good.ts",
      `async ({ message, document }) => {
        const { code } = document as { code: { "@code": string } };
        message.set("PV1-3.2", [code["@code"], message.get("MSH-9.2"), message.get("PID-3.4"), message.get("ZZZ-9.9"), message.get("PID-40.2.2"), "a^b|c"].join("/"));
        message.set("PV1-4", message.get("PV1-3.2") + message.all("PID-3.1").length);
      }`,
    );
    const [authority = ""] = valuesOf(message, facts, "PID-3.4");
    const ids = valuesOf(message, facts, "PID-3.1").length;
    expect(await values("PV1-3.2", step)).toEqual([`1-8/T02/${authority}///a^b|c`]);
    expect(await values("PV1-4", step)).toEqual([`1-8/T02/${authority}///a^b|c${ids}`]);
  });
  test("a change of the view changes no document", async () => {
    const before = createHash("sha256").update(document).digest("hex");
    await values("PV1-2", use("rude.ts", `({ document }) => { (document as { code: unknown }).code = "x"; }`));
    expect(createHash("sha256").update(document).digest("hex")).toBe(before);
  });
  test.each([
    ["throws.ts", `({ message }) => { throw new Error("王小明 " + message.get("PID-5")); }`, "Error at line 2"],
    ["address.ts", `({ message }) => { message.get("PID.5"); }`, "RangeError"],
    ["text.ts", `() => { throw "王小明"; }`, "it threw string"],
    ["many.ts", `({ message }) => { for (;;) message.set("PV1-2", "x"); }`, "RangeError"],
    [
      "fixed.ts",
      `({ message }) => {\n message.set("MSH-10", "x"); }`,
      "MSH-10 is not one that can be written at line 3",
    ],
    ["none.ts", `"x" as never`, "TypeError"],
  ])("%s: TRANSFORM_FAILED with kind and place, no word of the message", async (name, body, what) => {
    const thrown = await values("PV1-2", use(name, body)).catch((fault: unknown) => fault);
    expect(thrown).toMatchObject({
      code: "TRANSFORM_FAILED",
      message: expect.stringContaining(`${name} failed: ${what}`),
    });
    expect(String(thrown)).not.toMatch(/王小明|陳/);
  });
  test("what fails after its job is done ends that worker, and nobody else", async () => {
    const now = join(folder, "now");
    const step = use(
      "late.ts",
      `({ message }) => {
        const all = globalThis as { runs?: number };
        all.runs = (all.runs ?? 0) + 1;
        message.set("PV1-3", String(all.runs));
        const { existsSync, rmSync } = process.getBuiltinModule("node:fs");
        setInterval(() => {
          if (!existsSync(${JSON.stringify(now)})) return;
          rmSync(${JSON.stringify(now)});
          throw new Error("nobody awaits this");
        }, 5);
      }`,
    );
    expect(await values("PV1-3", step)).toEqual(["1"]);
    writeFileSync(now, "");
    // Its first run again: in a worker of its own, and this process goes on.
    await until("a new worker", async () => (await values("PV1-3", step).catch(() => []))[0] === "1");
  });
  test("an endless loop is ended, and the next message has a new worker", async () => {
    const step = use(
      "loop.ts",
      `({ message }) => { if (message.get("PV1-2") === "LOOP") for (;;); message.set("PV1-3", "done"); }`,
      1_000,
    );
    const loop: TransformStep = { kind: "set", field: "PV1-2", to: "LOOP" };
    await expect(values("PV1-3", loop, step)).rejects.toMatchObject({
      code: "TRANSFORM_FAILED",
      message: "the transform loop.ts was not done within 1000 ms",
    });
    expect(await values("PV1-3", { ...step, ms: 10_000 } as TransformStep)).toEqual(["done"]);
  });
  test("what a module prints stands in no log", () => {
    const step = use(
      "prints.ts",
      `({ message }) => { const { log, error } = console; log(message.get("PID-5")); error("and", message.get("PID-3")); }`,
    );
    const script = `
      import { transformed } from ${JSON.stringify(join(api, "..", "transform.ts"))};
      import { readMsh } from ${JSON.stringify(join(api, "..", "..", "formats", "hl7.ts"))};
      const bytes = Buffer.from("${Buffer.from(message).toString("base64")}", "base64");
      for (let n = 0; n < 3; n += 1) await transformed([${JSON.stringify(step)}], { bytes, facts: readMsh(bytes) }, bytes);
      process.stdout.write("done");`;
    const file = join(folder, "prints-run.mjs");
    writeFileSync(file, script);
    const ran = spawnSync(process.execPath, [file], { encoding: "utf8" });
    expect([ran.stdout, ran.stderr]).toEqual(["done", ""]);
  });
  test("a module that ends its process ends its worker alone", async () => {
    const step = use("exit.ts", `({ message }) => { if (message.get("PV1-2") === "EXIT") process.exit(1); }`);
    const exit: TransformStep = { kind: "set", field: "PV1-2", to: "EXIT" };
    await expect(values("PV1-3", exit, step)).rejects.toMatchObject({
      code: "TRANSFORM_FAILED",
      message: "the transform exit.ts ended its worker (exit 1)",
    });
    expect(await values("PV1-2", step)).toEqual(["O"]);
  });
});

describe("at houses", () => {
  const open = exchanges();
  const outbound = (steps: string) => (yaml: string) =>
    yaml.replace(
      "processingId: P }\n    validate: { document",
      () => `processingId: P }\n    transform: ${steps}\n    validate: { document`,
    );

  test("outbound: a patient's number that the HIS writes otherwise is compared as it should be", async () => {
    const wrong = Buffer.from(
      Buffer.from(message).toString("utf8").replaceAll(chen.national, "X000000000").replaceAll(chen.chart, "7"),
    );
    expect(await (await open()).message(wrong)).toMatchObject({ state: "refused", detail: "AE 204" });
    const exchange = await open({}, outbound(`[{ map: PID-3.1, values: { X000000000: ${chen.national} } }]`));
    expect(await exchange.message(wrong)).toMatchObject({ state: "delivered" });
    const { documents } = await exchange.admin("hospital-a").get<Traced>("/trace/T1");
    expect(documents[0]?.sha256).toBe(createHash("sha256").update(document).digest("hex"));
  });

  test("outbound: a module that never ends answers AE", async () => {
    const { module } = use("forever.ts", "() => { for (;;); }") as { module: string };
    const exchange = await open({}, outbound(`[{ use: "${module}", ms: 500 }]`));
    expect(await exchange.message(message)).toMatchObject({ state: "refused", detail: expect.stringMatching(/^AE/) });
    const { arrivals } = await exchange.admin("hospital-a").get<Traced>("/trace/T1");
    expect(arrivals[0]).toMatchObject({ state: "refused", code: "TRANSFORM_FAILED" });
  });

  test("inbound: HIS B gets the field, and the document octet for octet", async () => {
    writeFileSync(join(folder, "classes.yaml"), '"": none\nO: AMB\n');
    const at = await open({}, (yaml) =>
      yaml.replace(
        "    deliver:\n",
        () =>
          `    transform: [{ set: PV1-2, to: "O" }, { lookup: PV1-2, in: "${folder}/classes.yaml" }]\n    deliver:\n`,
      ),
    );
    await at.message(sampleMessage("mdm-t02-121"));
    await until("registered", async () => {
      const { records } = await at.admin("hospital-a").get<Traced>("/trace/S121");
      return records[0]?.state === "registered";
    });
    await at.message(adtFor(`${lin.national}^^^MOI^NI`), "B_ADT");
    await until("at B", () => at.documentsAtB().size === 1);
    const { documents } = await at.admin("hospital-a").get<Traced>("/trace/S121");
    expect([...at.documentsAtB()]).toEqual([documents[0]?.sha256]);
    // The receiver renames a file when it is whole.
    await until("kept", () => messagesIn(join(at.folder, "receivers")).length > 0);
    expect(messagesIn(join(at.folder, "receivers")).join("\n")).toMatch(/\rPV1\|1\|AMB/);
  });

  test("a module or lookup file that is not there keeps a house from starting", async () => {
    await expect(open({}, outbound("[{ use: ./none.ts }]"))).rejects.toThrow("CONFIG_TRANSFORM");
    await expect(open({}, outbound("[{ lookup: PV1-2, in: none.yaml }]"))).rejects.toThrow("CONFIG_TRANSFORM");
  });
});

/** Messages that a receiver keeps as files. */
const messagesIn = (root: string): readonly string[] =>
  readdirSync(root, { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".hl7"))
    .map((name) => readFileSync(join(root, name), "utf8"));
