/** Which response is the answer to an instance (PS3.7 9.3.1.2): that to its own message, with a status, and no other. */
import { expect, test } from "vitest";
import type { Outcome } from "../../connectors/connector.ts";
import { element, noDataSet, numberOf, writeCommand } from "../../connectors/dicom/dimse.ts";
import { dataHead } from "../../connectors/dicom/pdu.ts";
import { dicomDestination } from "../../connectors/dicom/scu.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { context, each, itemOf, settings, stopAfterEach, stops } from "./dicom-listening.ts";
import { type Asked, scriptedPacs } from "./scripted-pacs.ts";

stopAfterEach();

/** A response to a message so far from the one that came, with a status or none. */
function respond(asked: Asked, offset: number, status: number | undefined): void {
  const command = writeCommand([
    [element.commandField, asked.field | 0x8000],
    [element.respondedTo, numberOf(asked.command, element.messageId) + offset],
    [element.dataSetType, noDataSet],
    ...(status === undefined ? [] : ([[element.status, status]] as const)),
  ]);
  asked.socket.write(Buffer.concat([dataHead(asked.contextId, true, true, command.length), command]));
}

type Response = readonly [offset: number, status: number | undefined];
test.for<readonly [what: string, responses: readonly Response[], outcome: object]>([
  ["to the instance before", [[-1, 0]], { state: "ambiguous" }],
  ["without a status", [[0, undefined]], { state: "ambiguous" }],
  [
    "to another message, then one that refuses ours,",
    [
      [-1, 0],
      [0, 0xc000],
    ],
    { state: "refused", detail: "C000" },
  ],
])("a response %s is not the answer to an instance", async ([, responses, expected]) => {
  const pacs = await scriptedPacs({
    answer: (asked) => {
      for (const [offset, status] of responses) respond(asked, offset, status);
      return undefined;
    },
  });
  stops.push(() => pacs.stop());
  const outcomes: Outcome[] = [];
  const items = each(
    ctStudy({ instancesPerSeries: 1 })
      .slice(0, 1)
      .map(({ bytes }) => itemOf(bytes)),
  );
  await dicomDestination
    .send(settings(pacs.port, { responseSeconds: 0.2 }), items, (_item, outcome) => outcomes.push(outcome), context)
    .catch((thrown: unknown) => expect(thrown).toMatchObject({ code: "PEER_UNREACHABLE" }));
  expect(outcomes).toMatchObject([expected]);
});
