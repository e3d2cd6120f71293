/** Several studies for one PACS: its associations are shared. */
import { expect, test } from "vitest";
import { ctStudy } from "../fixtures/dicom.ts";
import { send, stopAfterEach, stops } from "./dicom-listening.ts";
import { type Script, type ScriptedPacs, scriptedPacs } from "./scripted-pacs.ts";

stopAfterEach();

const study = ctStudy({ instancesPerSeries: 4 }).map(({ bytes }) => bytes);
async function pacs(script: Script): Promise<ScriptedPacs> {
  const started = await scriptedPacs(script);
  stops.push(() => started.stop());
  return started;
}

test.for([1, 3])("of four studies that are sent at once no more than %i associations are open", async (most) => {
  const open = new Set<unknown>();
  const counts: number[] = [];
  const { port, stored } = await pacs({
    answer: ({ socket }) => {
      if (!open.has(socket)) socket.once("end", () => open.delete(socket)).once("close", () => open.delete(socket));
      counts.push(open.add(socket).size);
      return 0;
    },
  });
  await Promise.all([1, 2, 3, 4].map(() => send(port, study, { associations: most })));
  expect(stored).toHaveLength(4 * study.length);
  expect(Math.max(...counts)).toBe(most);
});

test("a study that cannot be sent gives its turn to the next", async () => {
  let asked = 0;
  const { port } = await pacs({
    reject: () => {
      asked += 1;
      return asked < 3 ? [2, 3, 2] : undefined;
    },
  });
  const sent = await Promise.allSettled([1, 2, 3].map(() => send(port, study)));
  expect(sent.map(({ status }) => status)).toEqual(["rejected", "rejected", "fulfilled"]);
});
