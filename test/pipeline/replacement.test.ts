/** What a corrected instance replaces, and what a rejection note stops. */
import { describe, expect, test } from "vitest";
import { judge, rejections } from "../../pipeline/rejection-note.ts";
import { replace } from "../../pipeline/replacement.ts";
import type { Item } from "../../store/store.ts";
import { image } from "./waiting.ts";

describe("corrected instances", () => {
  const kept = (state: Item["state"], id = "1") => image({ id, key: "1.9", state });
  test.each([
    ["what waits", [kept("waiting")], ["1"], false],
    ["what has left stays, and is followed", [kept("sealed")], [], true],
    ["what was dropped is not looked at", [kept("discarded")], [], false],
    ["an older correction", [kept("sealed"), kept("held", "2")], ["2"], true],
  ] as const)("replace %s", (_, before, ends, follows) => {
    const held = [...before.filter(({ state }) => state === "held"), kept("held", "9")];
    const replacement = replace(held, () => [...before, kept("held", "9")]);
    expect(replacement.goes).toEqual([{ item: kept("held", "9"), follows }]);
    expect(replacement.ends.map(({ id }) => id)).toEqual(ends);
  });
});

describe("rejection notes", () => {
  test.each([
    ["113001", true, true],
    ["113037", true, true],
    ["113038", true, true],
    ["113039", false, false],
  ] as const)("%s", (code, stopsLater, travels) => {
    expect(rejections.get(code)).toMatchObject({ stopsLater, travels });
  });
  test("end what waits or is held, tell of what has left, and touch no other study", () => {
    const note = {
      title: { code: "113001", scheme: "DCM" },
      references: ["1", "2", "3", "4"].map((sopInstanceUid) => ({ studyInstanceUid: "1.2", sopInstanceUid })),
    };
    const named = [
      image({ id: "a", key: "1" }),
      image({ id: "b", key: "2", state: "held" }),
      image({ id: "c", key: "3", state: "sealed" }),
      image({ id: "d", key: "4", joins: ["study:7.7"] }),
      image({ id: "e", key: "1", state: "discarded" }),
    ];
    const { stops, gone } = judge(named, note);
    expect(stops.map(({ id }) => id)).toEqual(["a", "b"]);
    expect(gone.map(({ id }) => id)).toEqual(["c"]);
  });
});
