/** Codes of failures and notes that no other test raises, each where a person would meet it. With the others: every code there is. */
import { readdirSync, readFileSync } from "node:fs";
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ports } from "../commands/demo/ports.ts";
import type { Traced } from "../commands/journal/trace.ts";
import { errorCodes } from "../errors.ts";
import { noteCodes } from "../pipeline/notes.ts";
import { openStore } from "../store/index.ts";
import { exchanges } from "./exchanges.ts";
import { ctStudy } from "./fixtures/dicom.ts";
import { adtFor, cda, chen, lin, mdmFor, sampleMessage } from "./fixtures/documents.ts";
import { type TestExchange, until } from "./sites.ts";

const open = exchanges();
const report = (extension: string): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "" });
const trace = (at: TestExchange, id: string, site: "hospital-a" | "hospital-b" = "hospital-a"): Promise<Traced> =>
  at.admin(site).get<Traced>(`/trace/${id}`);
const text = (message: Uint8Array): string => Buffer.from(message).toString("utf8");

describe("messages", () => {
  test.each([
    [
      "PRELIMINARY",
      "a preliminary result",
      Buffer.from(
        text(mdmFor(report("P.1"), { controlId: "X1", event: "ORU^R01^ORU_R01" })).replace("||||||F", "||||||P"),
      ),
      { state: "delivered" },
      "filtered",
    ],
    [
      "NO_DOCUMENT",
      "a report without a document",
      Buffer.from(text(mdmFor(report("N.1"), { controlId: "X1" })).replace(/OBX[^\r]*\r/, "OBX|1|TX|||text||||||F\r")),
      { state: "delivered" },
      "filtered",
    ],
    [
      "ATTACHMENT_NOT_CARRIED",
      "a picture beside the document",
      Buffer.concat([
        mdmFor(report("A.1"), { controlId: "X1" }),
        Buffer.from(
          `OBX|2|ED|PIC^x^L||^image^jpeg^Base64^${Buffer.from("\u00ff\u00d8 x").toString("base64")}||||||F\r`,
        ),
      ]),
      { state: "delivered" },
      "done",
    ],
  ])("%s: %s", async (code, _what, message, outcome, state) => {
    const at = await open();
    expect(await at.message(message)).toMatchObject(outcome);
    expect((await trace(at, "X1")).arrivals[0]).toMatchObject({ state, code });
  });

  test("HL7_CONFLICT: another message under one control id", async () => {
    const at = await open();
    await at.message(mdmFor(report("H.1"), { controlId: "X1" }));
    expect(await at.message(mdmFor(report("H.2"), { controlId: "X1" }))).toMatchObject({
      state: "refused",
      detail: "AE 205",
    });
    expect(at.log.some(({ fields }) => fields.code === "HL7_CONFLICT")).toBe(true);
  });
  test("REPEATED: the same document in another message is not sealed twice", async () => {
    const at = await open();
    await at.message(mdmFor(report("R.1"), { controlId: "X1" }));
    await at.message(mdmFor(report("R.1"), { controlId: "X2" }));
    expect((await trace(at, "X2")).arrivals[0]).toMatchObject({ state: "filtered", code: "REPEATED" });
  });
  test("PATIENT_NOT_COMPARABLE: PID-3 of an authority that is mapped to nothing", async () => {
    const at = await open();
    await at.message(mdmFor(report("Q.1"), { controlId: "X1", identifiers: "7^^^NOBODY^MR" }));
    expect((await trace(at, "X1")).steps).toContainEqual(
      expect.objectContaining({ station: "validate", detail: "PATIENT_NOT_COMPARABLE" }),
    );
  });
  test("ECHO: what came from A and its HIS sends back is not registered as B's", async () => {
    const at = await open({}, (yaml) => yaml.replace("run: [incoming]", "run: [incoming, documents]"));
    await at.message(sampleMessage("mdm-t02-121"));
    await until("registered", async () => (await trace(at, "S121")).records[0]?.state === "registered");
    await at.message(adtFor(`${lin.national}^^^MOI^NI`), "B_ADT");
    await until("at B", () => at.documentsAtB().size === 1);
    expect(await at.message(sampleMessage("mdm-t02-121"), "B_ADT")).toMatchObject({ state: "delivered" });
    await until("filtered", async () => {
      const [arrival] = (await trace(at, "S121", "hospital-b")).arrivals;
      return arrival?.state === "filtered" && arrival.code === "ECHO";
    });
  });
  test("DOCUMENT_CONFLICT: a document of HIS B under an id that another house has used waits for a person, and goes as B's", async () => {
    const at = await open({}, (yaml) => yaml.replace("run: [incoming]", "run: [incoming, documents]"));
    await at.message(mdmFor(report("F.1"), { controlId: "X1" }));
    await at.registered(1);
    await at.message(adtFor(`${chen.national}^^^MOI^NI`), "B_ADT");
    await until("at B", () => at.documentsAtB().size === 1);
    const own = Buffer.from(text(report("F.1")).replace("<title>t<", "<title>another<"));
    await at.message(mdmFor(own, { controlId: "X2" }), "B_ADT");
    const b = at.admin("hospital-b");
    const held = async () => (await b.get<{ items: { id: string; code: string }[] }>("/journal?state=held")).items;
    await until("held", async () => (await held())[0]?.code === "DOCUMENT_CONFLICT");
    await b.post(`/journal/${(await held())[0]?.id}/release`, { reason: "our own document" });
    await until("registered as B's", async () => {
      const { records } = await trace(at, "X2", "hospital-b");
      return records[0]?.state === "registered";
    });
  });
});

describe("instances", () => {
  test("DICOM_UNSUPPORTED: no channel takes instances from this PACS", async () => {
    const at = await open({}, (yaml) => yaml.replace("run: [imaging, documents]", "run: [documents]"));
    const [outcome] = (await at.instances(ctStudy({ instancesPerSeries: 1 }).map(({ bytes }) => bytes))).values();
    expect(outcome).toMatchObject({ state: "refused", detail: "0122" });
    expect(at.log.some(({ fields }) => fields.code === "DICOM_UNSUPPORTED")).toBe(true);
  });
  test("DICOM_CONFLICT: the same UID with other octets is held", async () => {
    const at = await open();
    const [first] = ctStudy({ instancesPerSeries: 1 });
    const [other] = ctStudy({ instancesPerSeries: 1, accession: "OTHER" });
    await at.instances([first?.bytes ?? new Uint8Array()]);
    await at.instances([other?.bytes ?? new Uint8Array()]);
    const { items } = await at
      .admin("hospital-a")
      .get<{ items: { state: string; code: string }[] }>("/journal?state=held");
    expect(items).toMatchObject([{ state: "held", code: "DICOM_CONFLICT" }]);
  });
  test("DOCUMENT_MISSING: a study that no document ever referred to becomes a person's business", async () => {
    const at = await open({}, (yaml) => yaml.replace("document: { wait: 14d", "document: { wait: 1ms"));
    await at.instances(ctStudy({ instancesPerSeries: 1 }).map(({ bytes }) => bytes));
    await at.stop("hospital-a");
    await at.start("hospital-a");
    await until("held", async () => {
      const { items } = await at
        .admin("hospital-a")
        .get<{ items: { code: string; count: number }[] }>("/journal?state=held");
      return items.length === 1 && items[0]?.code === "DOCUMENT_MISSING" && items[0].count === 2;
    });
  });
});

describe("deliveries", () => {
  test("PEER_AMBIGUOUS: a HIS that takes a message and never answers", async () => {
    const sockets: Socket[] = [];
    const server = createServer((socket) => {
      sockets.push(socket);
      socket.on("error", () => undefined).once("data", () => socket.destroy());
    });
    const { B_HIS = "" } = await ports(["B_HIS"]);
    server.listen(Number(B_HIS), "127.0.0.1");
    try {
      const at = await open({ B_HIS });
      await at.message(sampleMessage("mdm-t02-121"));
      await until("registered", async () => (await trace(at, "S121")).records[0]?.state === "registered");
      await at.message(sampleMessage("adt-a01-second"), "B_ADT");
      await until("ambiguous", async () => {
        const { deliveries } = await at
          .admin("hospital-b")
          .get<{ deliveries: { state: string; code: string }[] }>("/journal?state=ambiguous");
        return deliveries.length === 1 && deliveries[0]?.code === "PEER_AMBIGUOUS";
      });
    } finally {
      server.close();
    }
  });
  test("RECIPIENT_UNKNOWN: a queued delivery to a partner that is no longer configured is parked", async () => {
    let isListed = true;
    const pushing = (yaml: string): string => {
      const text = yaml.replace(
        "    route: [repository]\n  incoming",
        "    route: [repository, hospital-b]\n  incoming",
      );
      return isListed
        ? text
        : yaml
            .replace(/ {2}hospital-b: \{ url.*\n/, "")
            .replace("      - { push: [hospital-a] }", "")
            .replaceAll("[repository, hospital-b]", "[repository]");
    };
    const at = await open({ RETRY: "100ms" }, pushing);
    await at.stop("hospital-b");
    await at.message(mdmFor(report("U.1"), { controlId: "X1" }));
    await until("queued", () =>
      at.log.some(({ event, fields }) => event === "route.deferred" && fields.peer === "hospital-b"),
    );
    await at.stop("hospital-a");
    isListed = false;
    await at.start("hospital-a");
    await until("parked", async () =>
      (await trace(at, "X1")).deliveries.some(({ state, code }) => state === "parked" && code === "RECIPIENT_UNKNOWN"),
    );
  });
});

test("DOCUMENT_UNKNOWN and QUERY_INVALID: what the admin port is asked wrongly", async () => {
  const at = await open();
  await expect(trace(at, "nobody")).rejects.toMatchObject({ code: "DOCUMENT_UNKNOWN" });
  await expect(at.admin("hospital-b").post("/fetch", { patientIds: [] })).rejects.toMatchObject({
    code: "QUERY_INVALID",
  });
  await expect(at.admin("hospital-a").get("/journal?state=sleeping")).rejects.toMatchObject({ code: "QUERY_INVALID" });
});

test("STOPPING: a store that is closed takes nothing more", async () => {
  const at = await open();
  const store = await openStore({ folder: join(at.folder, "own"), key: Buffer.alloc(32, 1), now: () => new Date() });
  await store.close();
  await expect(store.commit([])).rejects.toMatchObject({ code: "STOPPING" });
});

test("every code is named by a test that raises it", () => {
  const sources = readdirSync(import.meta.dirname, { recursive: true, encoding: "utf8" }).filter(
    (file) => file.endsWith(".test.ts") || file.endsWith("refusals.ts"),
  );
  const all = sources.map((file) => readFileSync(join(import.meta.dirname, file), "utf8")).join("\n");
  expect([...errorCodes, ...noteCodes].filter((code) => !all.includes(code))).toEqual([]);
});
