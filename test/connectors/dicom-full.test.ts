/** A PACS that is out of resources (A7xx) is not sent all that is left at each attempt, and gets what it has space for. */
import { afterEach, expect, test } from "vitest";
import type { Outcome } from "../../connectors/connector.ts";
import { dicomDestination, maxFullInARow } from "../../connectors/dicom/scu.ts";
import { ctStudy, mrStudy, type SampleInstance } from "../fixtures/dicom.ts";
import { dicomItem } from "../fixtures/dicom-item.ts";
import { type Asked, type ScriptedPacs, scriptedPacs } from "./scripted-pacs.ts";

const full = 0xa700;
let pacs: ScriptedPacs | undefined;
afterEach(() => pacs?.stop());

async function send(files: readonly SampleInstance[], answer: (asked: Asked) => number, associations = 1) {
  const asked: string[] = [];
  pacs = await scriptedPacs({
    answer: (each) => {
      if (each.field === 0x0001) asked.push(each.sopInstanceUid);
      return each.field === 0x0001 ? answer(each) : 0;
    },
  });
  const [host, port] = ["127.0.0.1", pacs.port];
  const titles = { callingAeTitle: "SEMRS_B", calledAeTitle: "PACS_B" };
  const told: Outcome["state"][] = [];
  const failed = await dicomDestination
    .send(
      dicomDestination.options.parse({ host, port, ...titles, associations }),
      (async function* () {
        for (const { bytes } of files) yield dicomItem(bytes);
      })(),
      (_item, { state }) => void told.push(state),
      { log: () => undefined, signal: new AbortController().signal },
    )
    .catch((thrown: unknown) => thrown);
  return { asked, told, failed };
}
const study = ctStudy({ instancesPerSeries: 30 });

test.each([1, 4])("one that takes nothing is sent a few of them on %i associations, and then no more", async (many) => {
  const { asked, told, failed } = await send(study, () => full, many);
  expect(failed).toMatchObject({ code: "PEER_BUSY" });
  expect(asked.length).toBeGreaterThanOrEqual(maxFullInARow);
  // Each association has one on its way by then, and has read the next ahead.
  expect(asked.length).toBeLessThanOrEqual(maxFullInARow + 2 * many);
  expect(told).toEqual(asked.map(() => "refused"));
});

test("one that is full for some gets all others", async () => {
  let n = 0;
  const { told, failed } = await send(study, () => {
    n += 1;
    return n % maxFullInARow === 0 ? 0 : full;
  });
  expect(failed).toBeUndefined();
  expect(told).toHaveLength(study.length);
});

test("one that is full for a class gets those of the others", async () => {
  const others = mrStudy();
  const uids = new Set(others.map(({ sopInstanceUid }) => sopInstanceUid));
  const { failed, told } = await send([...study, ...others], ({ sopInstanceUid }) =>
    uids.has(sopInstanceUid) ? 0 : full,
  );
  expect(failed).toMatchObject({ code: "PEER_BUSY" });
  expect(told.filter((state) => state === "delivered")).toHaveLength(others.length);
});
