/** The order of a patient's messages: one after the other as they came, parallel across patients, a merge after both. */
import { setImmediate as turns } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { readMsh } from "../formats/hl7.ts";
import { mergesIn, patientsNamed } from "../formats/hl7-merge.ts";
import { openPatientOrder, type Turn } from "../pipeline/patient-order.ts";

/** Enters all, and tells which are ready after each of them has left. */
async function ready(turns_: Readonly<Record<string, readonly string[]>>, leaving: readonly string[]) {
  const order = openPatientOrder();
  const open: string[] = [];
  const entered: Record<string, Turn> = {};
  for (const [name, patients] of Object.entries(turns_)) {
    const turn = order.enter(patients);
    entered[name] = turn;
    void turn.ready.then(() => open.push(name));
  }
  await turns();
  const seen = [open.join(" ")];
  for (const name of leaving) {
    entered[name]?.leave();
    await turns();
    seen.push(open.join(" "));
  }
  return seen;
}

describe("order", () => {
  test("of one patient, and of another beside it", async () => {
    expect(await ready({ a1: ["A"], a2: ["A"], b1: ["B"], a3: ["A"] }, ["a1", "a2"])).toEqual([
      "a1 b1",
      "a1 b1 a2",
      "a1 b1 a2 a3",
    ]);
  });
  test("a merge waits for both patients, and both wait for it", async () => {
    const turns_ = { a1: ["A"], b1: ["B"], merge: ["A", "B"], a2: ["A"], b2: ["B"], c1: ["C"] };
    expect(await ready(turns_, ["a1", "b1", "merge"])).toEqual([
      "a1 b1 c1",
      "a1 b1 c1",
      "a1 b1 c1 merge",
      "a1 b1 c1 merge a2 b2",
    ]);
  });
  test("one that leaves before its turn lets nobody pass", async () => {
    expect(await ready({ a1: ["A"], a2: ["A"], a3: ["A"] }, ["a2", "a1"])).toEqual(["a1", "a1", "a1 a2 a3"]);
  });
  test("one message that names a patient twice does not wait for itself; one that names none waits for nobody", async () => {
    expect(await ready({ a1: ["A", "A"], none: [] }, [])).toEqual(["none a1"]);
  });
});

describe("merges", () => {
  const message = (type: string, ...segments: readonly string[]) =>
    Buffer.from([`MSH|^~\\&|HIS|A|S|A|20260102||ADT^${type}^ADT_A39|1|P|2.5.1`, ...segments, ""].join("\r"));
  const read = (bytes: Buffer) => mergesIn(bytes, readMsh(bytes));
  const id = (number: string) => ({ id: number, authority: "HOSPA", root: null });
  test("each MRG goes with the PID before it", () => {
    const bytes = message(
      "A40",
      "PID|1||1^^^HOSPA",
      "MRG|2^^^HOSPA",
      "PID|2||3^^^HOSPA",
      "PD1",
      "MRG|4^^^HOSPA~5^^^HOSPA",
    );
    expect(read(bytes)).toEqual([
      { surviving: [id("1")], prior: [id("2")] },
      { surviving: [id("3")], prior: [id("4"), id("5")] },
    ]);
    expect(patientsNamed(bytes, readMsh(bytes))).toEqual(["1", "2", "3", "4", "5"]);
  });
  test.each([
    ["no MRG", ["PID|1||1^^^HOSPA"]],
    ["no PID", ["MRG|2^^^HOSPA"]],
    ["an empty PID-3", ["PID|1||", "MRG|2^^^HOSPA"]],
    ["an empty MRG-1", ["PID|1||1^^^HOSPA", "MRG|"]],
  ])("%s is HL7_MALFORMED", (_what, segments) => {
    expect(() => read(message("A40", ...segments))).toThrow(expect.objectContaining({ code: "HL7_MALFORMED" }));
  });
});
