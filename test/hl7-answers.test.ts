/** What a house answers before, at and after its verdict, to repetitions, and to text that cannot be read. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { frameOf } from "../connectors/mllp/framer.ts";
import { encodeText } from "../formats/charset.ts";
import { readMsh } from "../formats/hl7.ts";
import { change } from "../store/sqlite.ts";
import { cancelFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import { acksIn, type House, openHouse } from "./house.ts";
import { testPki, until } from "./sites.ts";

let pki: string;
const houses: Record<"validated" | "stored", House | undefined> = {
  validated: undefined,
  stored: undefined,
};
const answer = /answer: "[^"]*"/;
const of = (name: keyof typeof houses): House => {
  const house = houses[name];
  if (!house) throw new Error(`${name} is not open`);
  return house;
};
beforeAll(async () => {
  pki = await testPki();
  houses.validated = await openHouse(pki);
  houses.stored = await openHouse(pki, (yaml) => yaml.replace(answer, "answer: stored"));
});
afterAll(async () => {
  for (const house of Object.values(houses)) await house?.close();
});

const adt = (
  id: string,
  { acks = "|", charset = "", name = "WANG^MING", time = "20260102030405", rest = "" } = {},
): string =>
  `MSH|^~\\&|HIS|A|SEMRS|A|${time}||ADT^A08^ADT_A01|${id}|P|2.5.1|||${acks}||${charset}\rEVN|A08\rPID|1||P1^^^MOI||${name}\r${rest}`;
const latin = (text: string): Buffer => Buffer.from(text, "latin1");
/** A document that breaks a hard rule. */
const wrong = (id: string, acks = ""): Uint8Array => {
  const text = Buffer.from(
    mdmFor(Buffer.from("<ClinicalDocument xmlns='urn:hl7-org:v3'/>"), { controlId: id }),
  ).toString("latin1");
  return latin(acks ? text.replace(/^(MSH(?:\|[^|\r]*){11})\|\|\|\|/, `$1|||${acks}`) : text);
};
const arrival = (house: House, id: string) =>
  house.store.arrivals.list({ limit: 1_000 }).filter(({ controlId }) => controlId === id);
const steps = (house: House, id: string): readonly string[] =>
  house.store.steps
    .of(arrival(house, id).map((row) => row.id))
    .map(({ event, code }) => [event, code].filter(Boolean).join(" "));

describe("answer", () => {
  test("validated: what is wrong is an AE", async () => {
    expect(acksIn(await of("validated").ask(wrong("V1")))).toEqual(["AE V1"]);
    expect(steps(of("validated"), "V1")).toEqual(["refused CDA_INVALID"]);
  });

  test("stored: AA at the spool, and what is wrong is quarantined and alarmed", async () => {
    const house = of("stored");
    expect(acksIn(await house.ask(wrong("S1")))).toEqual(["AA S1"]);
    await until("the verdict", () => arrival(house, "S1")[0]?.state === "refused");
    expect(steps(house, "S1")).toEqual(["quarantined CDA_INVALID"]);
    expect(house.log.filter(({ level }) => level === "error").map(({ event }) => event)).toEqual([
      "validate.quarantined",
    ]);
  });

  test("AL/NE: CA at the spool, and what is wrong is quarantined and alarmed", async () => {
    const house = of("validated");
    const message = Buffer.from(wrong("C1")).toString("latin1");
    const [msh = "", ...rest] = message.split("\r");
    const fields = msh.split("|");
    fields[14] = "AL";
    fields[15] = "NE";
    expect(acksIn(await house.ask(latin([fields.map((field) => field ?? "").join("|"), ...rest].join("\r"))))).toEqual([
      "CA C1",
    ]);
    await until("the verdict", () => arrival(house, "C1")[0]?.state === "refused");
    expect(steps(house, "C1")).toEqual(["quarantined CDA_INVALID"]);
  });

  test("AL/NE: what could not be taken is CE, not CA", async () => {
    const house = of("validated");
    await house.ask(latin(adt("C2", { acks: "AL|NE" })));
    expect(acksIn(await house.ask(latin(adt("C2", { acks: "AL|NE", rest: "NTE|1\r" }))))).toEqual(["CE C2"]);
  });
});

describe("repetitions (decision 8)", () => {
  test("the same octets get the same answer and are kept once; other octets an AE", async () => {
    const house = of("validated");
    expect(acksIn(await house.ask(latin(adt("R1"))))).toEqual(["AA R1"]);
    expect(acksIn(await house.ask(latin(adt("R1"))))).toEqual(["AA R1"]);
    expect(arrival(house, "R1")).toHaveLength(1);
    expect(acksIn(await house.ask(latin(adt("R1", { rest: "NTE|1\r" }))))).toEqual(["AE R1"]);
  });

  test("a refused message gets the same refusal", async () => {
    const house = of("validated");
    expect(acksIn(await house.ask(wrong("R2")))).toEqual(["AE R2"]);
    expect(acksIn(await house.ask(wrong("R2")))).toEqual(["AE R2"]);
    expect(arrival(house, "R2")).toHaveLength(1);
  });

  test("what came more than a day ago is a new message", async () => {
    const house = of("stored");
    await house.ask(latin(adt("R3")));
    const [first] = arrival(house, "R3");
    const before = new Date(Date.now() - 25 * 3_600_000).toISOString();
    await house.store.commit([change("UPDATE arrival SET received_at = ? WHERE id = ?", before, first?.id ?? "")]);
    expect(acksIn(await house.ask(latin(adt("R3", { rest: "NTE|1\r" }))))).toEqual(["AA R3"]);
    expect(arrival(house, "R3").map(({ repetition }) => repetition)).toEqual([null, first?.repetition]);
  });

  test("control ids that start anew every day are new messages, since MSH-7 differs", async () => {
    const house = of("validated");
    for (const time of ["20260102000001", "20260103000001", "20260104000001"])
      expect(acksIn(await house.ask(latin(adt("1", { time }))))).toEqual(["AA 1"]);
    expect(arrival(house, "1")).toHaveLength(3);
  });
});

test("a live message overtakes a batch that another connection sent before it", async () => {
  const house = of("validated");
  const batch = Array.from({ length: 300 }, (_, n) => Buffer.from(frameOf(wrong(`B${n}`))));
  let answered = 0;
  const begun = Promise.withResolvers<void>();
  const night = house.write(Buffer.concat(batch), batch.length, (back) => {
    answered = acksIn(back).length;
    begun.resolve();
  });
  await begun.promise;
  expect(acksIn(await house.ask(latin(adt("LIVE"))))).toEqual(["AA LIVE"]);
  expect(answered).toBeLessThan(batch.length);
  expect(acksIn(await night)).toEqual(batch.map((_, n) => `AE B${n}`));
});

test("a small message of a patient never overtakes a large one that came before it", async () => {
  const house = of("stored");
  const body = "<paragraph>x</paragraph>".repeat(60_000);
  const large = cda({ form: "113", extension: "LARGE.1", patient: chen, code: "1-8", display: "d", title: "t", body });
  const frames = [mdmFor(large, { controlId: "LARGE", name: "LARGE^HIS" }), cancelFor("SMALL", "LARGE^HIS")].map(
    frameOf,
  );
  expect(acksIn(await house.write(Buffer.concat(frames), 2))).toEqual(["AA LARGE", "AA SMALL"]);
  await until("both verdicts", () => ["LARGE", "SMALL"].every((id) => arrival(house, id)[0]?.state === "done"));
  expect(steps(house, "SMALL")).toEqual(["accepted CANCELLED"]);
});

describe("charsets", () => {
  /** 功 ends in 0x5C in Big5, as 表 does in Shift-JIS: the escape character. */
  test.for([
    ["UNICODE UTF-8", "utf-8", "王小明"],
    ["8859/1", "windows-1252", "Müller"],
    ["8859/2", "iso-8859-2", "Łukasz"],
    ["8859/5", "iso-8859-5", "Иван"],
    ["8859/7", "iso-8859-7", "Αθηνά"],
    ["8859/9", "windows-1254", "Işık"],
    ["windows-1250", "windows-1250", "Łukasz"],
    ["windows-1251", "windows-1251", "Иван"],
    ["BIG-5", "big5", "許功蓋"],
    ["GB 18030-2000", "gb18030", "王小明㐀"],
    ["GBK", "gbk", "葉東"],
    ["SHIFT-JIS", "shift_jis", "表示ソ能"],
    ["~ISO IR87", "iso-2022-jp", "山田太郎"],
    ["KS X 1001", "euc-kr", "김철수"],
  ] as const)("%s is read, and answered in", async ([field, charset, name]) => {
    const house = of("validated");
    const id = `K${charset}`;
    // The sending application has such a name too, before MSH-18 is known.
    const text = adt(id, { charset: field, name }).replace("|HIS|", `|${name}|`);
    const { bytes, replaced } = encodeText(text, charset);
    expect(replaced).toBe(0);
    expect(readMsh(bytes)).toMatchObject({ charset, controlId: id, sendingApplication: name, messageType: "ADT^A08" });
    const back = await house.ask(bytes);
    expect(steps(house, id)).toEqual(["filtered NO_CHANNEL"]);
    // MSH-5 of the answer is MSH-3 of the message, octet for octet.
    const ack = readMsh(Buffer.from(back.slice(1, -2), "latin1"));
    expect([ack.receivingApplication, ack.charset]).toEqual([name, charset]);
  });

  test("a name that cannot be read is a note in the journal, never an AE", async () => {
    const house = of("validated");
    const message = latin(adt("N1", { charset: "UNICODE UTF-8", name: "M\u00fcller" }));
    expect(acksIn(await house.ask(message))).toEqual(["AA N1"]);
    expect(steps(house, "N1")).toEqual(["warned CHARSET", "filtered NO_CHANNEL"]);
  });

  test("LF for CR is a note too", async () => {
    const house = of("validated");
    expect(acksIn(await house.ask(latin(adt("N2").replaceAll("\r", "\n"))))).toEqual(["AA N2"]);
    expect(steps(house, "N2")).toEqual(["warned LINE_ENDS", "filtered NO_CHANNEL"]);
  });

  test.for(["UNICODE", "UNICODE UTF-16", "UTF-16"])("%s is refused with the reason", async (charset) => {
    const back = await of("validated").ask(latin(adt(`W${charset}`, { charset })));
    expect(acksIn(back)).toEqual([`AR W${charset}`]);
    expect(back).toContain("ERR|||200^^HL70357|E|||HL7_UNSUPPORTED: ");
    expect(back).toContain("send UNICODE UTF-8");
  });
});
