/** Bad input at a running house: the protocol's own clear error, one log line without patient data, what was not accepted kept and listed. */
import { once } from "node:events";
import { connect } from "node:net";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Outcome } from "../connectors/connector.ts";
import { type DicomItem, dicomDestination, echo } from "../connectors/dicom/scu.ts";
import { readHead } from "../formats/dicom.ts";
import { ctStudy } from "./fixtures/dicom.ts";
import { cda, chen, mdmFor } from "./fixtures/documents.ts";
import { openHospitalA, type TestExchange, testPki, until } from "./sites.ts";

let exchange: TestExchange;
beforeAll(async () => {
  // An open frame is given one second here, and the PACS is known by its title.
  exchange = await openHospitalA(await testPki(), {}, (yaml) =>
    yaml
      .replace("charset: from-msh-18, answer", "frameSeconds: 1, charset: from-msh-18, answer")
      .replace("callers: []", "callers: [{ aeTitle: PACS_A }]"),
  );
});
afterAll(() => exchange.close());
beforeEach(() => exchange.log.splice(0));

const name = "王小明";
const [vt, end] = ["\u000b", "\u001c\r"];
const adt = (id: string, rest = ""): string =>
  `MSH|^~\\&|HIS|A|E|A|20260102030405||ADT^A01^ADT_A01|${id}|P|2.5.1\rEVN|A01|20260102\rPID|1||PAT-1||${name}\r${rest}`;
const framed = (text: string): string => vt + text + end;

/** Sends chunks one after the other on one connection; what came back when it was quiet or closed. */
async function probe(
  chunks: readonly (string | Buffer)[],
  { isHalf = false, waitMs = 300, count = 0 } = {},
): Promise<string> {
  const socket = connect(Number(exchange.env.A_HIS), "127.0.0.1");
  let back = "";
  let heard = performance.now();
  socket.on("data", (data: Buffer) => {
    back += data.toString("latin1");
    heard = performance.now();
  });
  socket.on("error", () => undefined);
  await once(socket, "connect");
  for (const chunk of chunks) {
    socket.write(typeof chunk === "string" ? Buffer.from(chunk, "utf8") : chunk);
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (isHalf) socket.end();
  const isQuiet = (): boolean => acks(back).length >= count && performance.now() - heard > waitMs;
  await until("quiet", () => isQuiet() || socket.closed, 10_000);
  socket.destroy();
  return back;
}
const acks = (back: string): readonly string[] =>
  [...back.matchAll(/MSA\|(\w\w)\|([^\r|]*)/g)].map(([, code, of]) => `${code} ${of}`.trim());
const refused = async (): Promise<readonly { controlId: string; code: string; reason: string }[]> =>
  (
    await exchange
      .admin("hospital-a")
      .get<{ refused: { controlId: string; code: string; reason: string }[] }>("/journal")
  ).refused;
const warned = (): readonly string[] =>
  exchange.log.filter(({ level }) => level === "warn" || level === "error").map(({ event }) => event);

type Probe = {
  readonly chunks: readonly string[];
  readonly acks: readonly string[];
  readonly quarantined?: number;
  readonly code?: string;
  readonly warned?: readonly string[];
  readonly isHalf?: boolean;
  readonly waitMs?: number;
};

const probes: Readonly<Record<string, Probe>> = {
  "a good message": { chunks: [framed(adt("g1"))], acks: ["AA g1"] },
  "octets before the start block": { chunks: [`xxxx\r\n${framed(adt("g2"))}`], acks: ["AA g2"] },
  "no start block: nothing is answered, the connection is closed": {
    chunks: [adt("g3") + end],
    acks: [],
    warned: ["mllp.cut"],
    waitMs: 1_500,
  },
  "a start block inside an open frame": {
    chunks: [vt + adt("g4"), framed(adt("g5"))],
    acks: ["AE g4", "AA g5"],
    quarantined: 1,
    warned: ["mllp.broken", "source.refused"],
  },
  "FS without CR, then a good frame": {
    chunks: [`${vt}${adt("g6")}\u001c`, framed(adt("g7"))],
    acks: ["AE g6", "AA g7"],
    quarantined: 1,
    warned: ["mllp.broken", "source.refused"],
  },
  "FS LF instead of FS CR": {
    chunks: [`${vt}${adt("g8")}\u001c\n`],
    acks: ["AE g8"],
    quarantined: 1,
    warned: ["mllp.broken", "source.refused"],
  },
  "half a frame, then the connection ends": {
    chunks: [vt + adt("g9")],
    isHalf: true,
    acks: ["AE g9"],
    quarantined: 1,
    warned: ["mllp.broken", "source.refused"],
  },
  "half a frame, then silence": {
    chunks: [vt + adt("g9b")],
    acks: ["AE g9b"],
    quarantined: 1,
    warned: ["mllp.broken", "mllp.cut", "source.refused"],
    waitMs: 1_500,
  },
  "not HL7 in the frame": { chunks: [framed("hello world")], acks: ["AE"], quarantined: 1, warned: ["source.refused"] },
  "an empty frame": { chunks: [framed("")], acks: ["AE"], quarantined: 1, warned: ["source.refused"] },
  "a truncated MSH": { chunks: [framed("MSH|^~\\&|HIS\r")], acks: ["AE"], quarantined: 1, warned: ["source.refused"] },
  "no MSH-10": { chunks: [framed(adt(""))], acks: ["AE"], quarantined: 1, warned: ["source.refused"] },
  "no MSH-9": {
    chunks: [framed("MSH|^~\\&|HIS|A|E|A|20260102030405|||g10|P|2.5.1\rPID|1\r")],
    acks: ["AE g10"],
    quarantined: 1,
    warned: ["source.refused"],
  },
  "LF instead of CR, and an unknown segment": {
    chunks: [framed(adt("g11", "ZZZ|1\r").replaceAll("\r", "\n"))],
    acks: ["AA g11"],
  },
  "two frames in one write": { chunks: [framed(adt("g12")) + framed(adt("g13"))], acks: ["AA g12", "AA g13"] },
  "a frame octet by octet": {
    chunks: [...framed(adt("g14")).slice(0, 40), framed(adt("g14")).slice(40)],
    acks: ["AA g14"],
  },
  "the same control id twice, the same octets": {
    chunks: [framed(adt("dup1")), framed(adt("dup1"))],
    acks: ["AA dup1", "AA dup1"],
  },
  "the same control id, other octets": {
    chunks: [framed(adt("dup2")), framed(adt("dup2", "NTE|1\r"))],
    acks: ["AA dup2", "AE dup2"],
    quarantined: 1,
    code: "HL7_CONFLICT",
    warned: ["source.refused"],
  },
  "VT in a value": {
    chunks: [framed(adt("g15", "NTE|1||a\u000bb\r"))],
    acks: ["AE g15", "AE"],
    quarantined: 2,
    warned: ["mllp.broken", "source.refused", "source.refused"],
  },
  "a name in UTF-8": { chunks: [framed(adt("g16"))], acks: ["AA g16"] },
  "a version nobody knows": { chunks: [framed(adt("g17").replace("2.5.1", "9.9"))], acks: ["AA g17"] },
  "an event nobody knows": { chunks: [framed(adt("g18").replace("ADT^A01^ADT_A01", "ADT^Z99"))], acks: ["AA g18"] },
};

describe("MLLP", () => {
  test.each(Object.entries(probes))(
    "%s",
    async (_name, {
      chunks,
      acks: expected,
      quarantined = 0,
      code: expectedCode = "HL7_MALFORMED",
      warned: said = [],
      ...how
    }) => {
      const before = (await refused()).length;
      const back = await probe(chunks, { ...how, count: expected.length });
      expect(acks(back)).toEqual(expected);
      for (const segment of back
        .split("\r")
        .flatMap((each) => each.split(end.slice(0, 1)))
        .map((each) => each.replace(vt, ""))
        .filter((each) => each !== ""))
        expect(segment).toMatch(/^(MSH|MSA|ERR)\|/);
      await until("quarantined", async () => (await refused()).length === before + quarantined, 3_000);
      expect([...warned()].sort()).toEqual([...said].sort());
      for (const { code, reason } of (await refused()).slice(before)) {
        expect(code).toBe(expectedCode);
        expect(reason.length).toBeGreaterThan(10);
      }
    },
  );

  test("over the limit: AR at once, and the connection is closed", async () => {
    const socket = connect(Number(exchange.env.A_HIS), "127.0.0.1").setMaxListeners(0);
    socket.on("error", () => undefined);
    let back = "";
    socket.on("data", (data: Buffer) => (back += data.toString("latin1")));
    socket.write(vt + adt("big"));
    const piece = Buffer.alloc(1 << 20, 65);
    for (let n = 0; n < 70 && !socket.destroyed; n += 1)
      if (!socket.write(piece))
        await Promise.race([once(socket, "drain"), once(socket, "close")]).catch(() => undefined);
    await until("closed", () => socket.closed, 5_000);
    expect(back).toMatch(/MSA\|AR\|/);
    expect(warned()).toContain("mllp.refused");
  });
});

describe("documents", () => {
  const xml = (change: (text: string) => string): Uint8Array =>
    Buffer.from(
      change(
        cda({
          form: "113",
          extension: "BAD.1",
          patient: chen,
          code: "11502-2",
          display: "x",
          title: "t",
          body: "",
        }).toString(),
      ),
    );
  test.each([
    ["one that is not well-formed", (text: string) => text.slice(0, -30), "102", "CDA_INVALID"],
    [
      "one without a patient",
      (text: string) => text.replace(/<recordTarget[^>]*>[\s\S]+?<\/recordTarget>/, ""),
      "102",
      "CDA_INVALID",
    ],
    [
      "one with two",
      (text: string) => text.replace(/(<recordTarget[^>]*>[\s\S]+?<\/recordTarget>)/, "$1$1"),
      "102",
      "CDA_INVALID",
    ],
    ["one with a DOCTYPE", (text: string) => text.replace("?>", "?><!DOCTYPE x>"), "102", "CDA_INVALID"],
  ])("%s: AE, ERR, quarantined, nothing delivered", async (what, change, err, code) => {
    const controlId = `DOC${what.length}`;
    const back = await probe([vt, Buffer.from(mdmFor(xml(change), { controlId })), end], { count: 1 });
    expect(acks(back)).toEqual([`AE ${controlId}`]);
    expect(back).toMatch(new RegExp(`ERR\\|[^\\r]*\\|${err}[^\\r]*${code}`));
    expect((await refused()).find((each) => each.controlId === controlId)).toMatchObject({ code });
    expect(warned()).toEqual(["validate.refused"]);
    const { records } = await exchange.admin("hospital-a").get<{ records: Record<string, number> }>("/counts");
    expect(records).toEqual({});
  });
});

describe("DICOM", () => {
  const settings = (change = {}) =>
    dicomDestination.options.parse({
      host: "127.0.0.1",
      port: Number(exchange.env.A_PACS),
      callingAeTitle: "PACS_A",
      calledAeTitle: "SEMRS_A",
      ...change,
    });
  const context = { log: () => undefined, signal: new AbortController().signal };

  test("a SOP Instance UID other than the command's: A900, quarantined", async () => {
    const [{ bytes } = { bytes: new Uint8Array() }] = ctStudy({ instancesPerSeries: 1 });
    const { sopClassUid, transferSyntaxUid } = readHead(bytes);
    const item: DicomItem = {
      controlId: "1.2.3.4",
      size: bytes.length,
      sopClassUid,
      transferSyntaxUid,
      body: () => one(bytes),
    };
    let outcome: Outcome | undefined;
    await dicomDestination.send(settings(), one(item), (_item, is) => (outcome = is), context);
    expect(outcome).toMatchObject({ state: "refused", detail: "A900" });
    expect(warned()).toEqual(["source.refused"]);
    expect((await refused()).at(-1)).toMatchObject({ controlId: "1.2.3.4", code: "DICOM_MISMATCH" });
    const { items } = await exchange.admin("hospital-a").get<{ items: Record<string, number> }>("/counts");
    expect(items).toEqual({});
  });
  test("a calling AE title that is not listed, and a called one that is not ours: rejected with the standard's reason", async () => {
    await expect(echo(settings({ callingAeTitle: "STRANGER" }), context)).rejects.toMatchObject({
      code: "AE_TITLE_UNKNOWN",
      message: expect.stringContaining("does not know our calling AE title"),
    });
    await expect(echo(settings({ calledAeTitle: "NOBODY" }), context)).rejects.toMatchObject({
      code: "AE_TITLE_UNKNOWN",
      message: expect.stringContaining("it is not the called AE title"),
    });
    expect(warned()).toHaveLength(2);
  });
});

test("no log line of all this has a name, and nothing bad was half kept", async () => {
  const { items, records, deliveries } = await exchange
    .admin("hospital-a")
    .get<Record<string, Record<string, number>>>("/counts");
  expect({ items, records, deliveries }).toEqual({ items: {}, records: {}, deliveries: {} });
  expect(JSON.stringify(exchange.log)).not.toContain(name);
});

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}
