/** Nothing of a patient reads as clear text: not in a site's data folder, its log or metrics, nor on the wire between sites. */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ctStudy } from "./fixtures/dicom.ts";
import { adtFor, cda, chen, lin, mdmFor, sampleMessage, sampleMessages } from "./fixtures/documents.ts";
import { peer } from "./peers.ts";
import { openExchange, testPki, until } from "./sites.ts";

/** Names, ids and accession numbers of the samples, in the charsets they travel in, and as Base64 at each offset. */
const secrets = [
  chen.name,
  lin.name,
  "怡君",
  "志明",
  chen.national,
  lin.national,
  chen.chart,
  lin.chart,
  "ACC20260116",
  "ACC20260117",
  "Chen^YiChun",
  "B990011",
];

function formsOf(secret: string): readonly Buffer[] {
  const utf8 = Buffer.from(secret, "utf8");
  const base64 = [0, 1, 2]
    .map((offset) =>
      Buffer.concat([Buffer.alloc(offset), utf8])
        .toString("base64")
        .slice(offset === 0 ? 0 : 4, -4),
    )
    .filter((text) => text.length >= 8);
  return [utf8, Buffer.from(secret, "utf16le"), ...base64.map((text) => Buffer.from(text))];
}

const found = (bytes: Buffer): readonly string[] =>
  secrets.filter((secret) => formsOf(secret).some((form) => bytes.includes(form)));

function filesBelow(folder: string): readonly string[] {
  return readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name));
}

const tcpdump = peer("tcpdump");

test(`a whole exchange leaves no clear text behind ${tcpdump.reason}`, async () => {
  // The check itself can fail: the messages do hold what is looked for.
  expect(found(Buffer.from(sampleMessage("adt-a01")))).toEqual(["怡君", chen.national, "B990011"]);
  expect(found(Buffer.from(sampleMessage("mdm-t02-116"))).length).toBeGreaterThan(3);

  const exchange = await openExchange(await testPki());
  const capture = join(mkdtempSync(join(tmpdir(), "semrs-capture-")), "wire.pcap");
  let sniffer: ChildProcess | undefined;
  try {
    if (tcpdump.available) {
      const { REGISTRY_PORT, A_PORT, B_PORT } = exchange.env;
      const filter = `tcp port ${REGISTRY_PORT} or tcp port ${A_PORT} or tcp port ${B_PORT}`;
      sniffer = spawn("tcpdump", ["-i", "lo", "-U", "-s", "0", "-Z", "root", "-w", capture, filter], {
        stdio: ["ignore", "ignore", "pipe"],
      });
      if (sniffer.stderr) await once(sniffer.stderr, "data");
    }
    for (const message of sampleMessages()) await exchange.message(message);
    await exchange.instances(ctStudy({ instancesPerSeries: 2 }).map(({ bytes }) => bytes));
    // What is refused, held or quarantined rests sealed too, and its reason names nobody.
    await exchange.message(
      mdmFor(cda({ form: "113", extension: "X.1", patient: chen, code: "1", display: "x", title: "x", body: "x" }), {
        controlId: "BADPID",
        identifiers: `${lin.national}^^^MOI`,
      }),
    );
    await exchange.message(mdmFor(Buffer.from(`<ClinicalDocument>${chen.name}`), { controlId: "BADXML" }));
    await exchange.registered(6);
    await exchange.message(sampleMessage("adt-a01"), "B_ADT");
    await exchange.message(adtFor(`${lin.national}^^^MOI^NI`, { controlId: "ADTCLEAR", name: lin.hl7Name }), "B_ADT");
    await until("documents at HIS B", () => exchange.documentsAtB().size === 6);

    for (const site of ["registry", "hospital-a", "hospital-b"] as const) {
      const metrics = await (
        await fetch(
          `http://127.0.0.1:${exchange.env[{ registry: "REGISTRY_ADMIN", "hospital-a": "A_ADMIN", "hospital-b": "B_ADMIN" }[site]]}/metrics`,
        )
      ).text();
      expect(found(Buffer.from(metrics)), `metrics of ${site}`).toEqual([]);
      expect(
        found(Buffer.from(JSON.stringify(await exchange.admin(site).get("/journal")))),
        `journal of ${site}`,
      ).toEqual([]);
    }
    expect(found(Buffer.from(JSON.stringify(exchange.log))), "log").toEqual([]);
    expect(exchange.log.length).toBeGreaterThan(20);
    if (sniffer) {
      await until("the capture is on disk", () => readFileSync(capture).length > 50_000);
      const stopped = once(sniffer, "exit");
      sniffer.kill("SIGINT");
      await stopped;
      expect(found(readFileSync(capture)), "the wire between sites").toEqual([]);
    }
    for (const file of filesBelow(join(exchange.folder, "data"))) expect(found(readFileSync(file)), file).toEqual([]);
  } finally {
    sniffer?.kill("SIGKILL");
    await exchange.close();
  }
});
