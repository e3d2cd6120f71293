/** C-STORE as SCU: the beginning of the next instance is read while the PACS thinks about the last. */
import { expect, test } from "vitest";
import type { Outcome } from "../../connectors/connector.ts";
import { type DicomItem, dicomDestination } from "../../connectors/dicom/scu.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { dicomItem } from "../fixtures/dicom-item.ts";
import { until } from "../sites.ts";
import { context, stopAfterEach, stops } from "./dicom-listening.ts";
import { scriptedPacs } from "./scripted-pacs.ts";

stopAfterEach();

const study = ctStudy({ instancesPerSeries: 2 });
const uids = study.map(({ sopInstanceUid }) => sopInstanceUid);
const settings = (port: number) =>
  dicomDestination.options.parse({ host: "127.0.0.1", port, callingAeTitle: "SEMRS_B", calledAeTitle: "PACS_B" });
async function* each<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}

test("the next instance is begun while the PACS thinks; an association that is lost then lets go of it, and it is sent later", async () => {
  const [begun, closed]: [string[], string[]] = [[], []];
  const watched = (bytes: Uint8Array): DicomItem => {
    const item = dicomItem(bytes);
    return {
      ...item,
      body: async function* () {
        begun.push(item.controlId);
        try {
          yield* item.body();
        } finally {
          closed.push(item.controlId);
        }
      },
    };
  };
  const [first = "", second = "", third = ""] = uids;
  const { port, stored, stop } = await scriptedPacs({
    answer: async ({ sopInstanceUid, socket }) => {
      if (sopInstanceUid === first) await until("the second is begun", () => begun.includes(second));
      if (sopInstanceUid === second) await until("the third is begun", () => begun.includes(third));
      if (sopInstanceUid === second) socket.destroy();
      return 0;
    },
  });
  stops.push(stop);
  const outcomes = new Map<string, Outcome>();
  const some = (): AsyncGenerator<DicomItem> => each(study.slice(0, 3).map(({ bytes }) => watched(bytes)));
  const note = (item: { controlId: string }, outcome: Outcome) => void outcomes.set(item.controlId, outcome);
  await expect(dicomDestination.send(settings(port), some(), note, context)).rejects.toMatchObject({
    code: "PEER_UNREACHABLE",
  });
  expect([...outcomes].map(([uid, { state }]) => [uid, state])).toEqual([
    [first, "delivered"],
    [second, "ambiguous"],
  ]);
  expect([...closed].sort()).toEqual([...begun].sort());
  await dicomDestination.send(settings(port), each([watched(study[2]?.bytes ?? new Uint8Array())]), note, context);
  expect(stored.map(([uid]) => uid)).toEqual([first, third]);
});
