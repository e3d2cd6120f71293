/** Storage commitment by a running house: what is durable here is committed, what is not is not, after a restart as before. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { commitmentClass, explicitLittle } from "../connectors/dicom/association.ts";
import { commitmentInstance, readCommitmentReport, writeCommitmentRequest } from "../connectors/dicom/commitment.ts";
import { readHead } from "../formats/dicom.ts";
import { associated, command, ct, pdv } from "./dicom-peer.ts";
import { ctStudy } from "./fixtures/dicom.ts";
import { openExchange, type TestExchange, testPki } from "./sites.ts";

let exchange: TestExchange;
beforeAll(async () => {
  exchange = await openExchange(await testPki());
});
afterAll(() => exchange.close());

const study = ctStudy({ instancesPerSeries: 2 }).map(({ bytes }) => bytes);
const here = study.map((bytes) => ({ sopClassUid: ct, sopInstanceUid: readHead(bytes).sopInstanceUid }));
const [first = { sopClassUid: ct, sopInstanceUid: "" }] = here;

/** By instance: null, or its Failure Reason. */
async function commitment(references: readonly { sopClassUid: string; sopInstanceUid: string }[]) {
  const contexts = [{ id: 1, abstractSyntax: commitmentClass, transferSyntaxes: [explicitLittle] }];
  const peer = await associated(Number(exchange.env.A_PACS), contexts);
  const request = { transactionUid: "2.25.99", references };
  peer.send(
    command(
      1,
      [3, commitmentClass],
      [0x100, 0x0130],
      [0x110, 1],
      [0x800, 0],
      [0x1001, commitmentInstance],
      [0x1008, 1],
    ),
    pdv(1, false, true, writeCommitmentRequest(request, explicitLittle)),
  );
  expect((await peer.message()).command.get(0x900)).toBe(0);
  const report = await peer.message();
  const { committed, failed } = readCommitmentReport(report.dataSet, explicitLittle);
  peer.send(command(1, [2, commitmentClass], [0x100, 0x8100], [0x120, 1], [0x800, 0x101], [0x900, 0]));
  peer.socket.end();
  await peer.closed();
  return { type: report.command.get(0x1002), committed, failed };
}

test("all are committed, or failures say which and why (PS3.3 C.14.1.1), after a restart as before", async () => {
  await exchange.instances(study);
  const strangers = [
    { sopClassUid: ct, sopInstanceUid: "1.2.3.4" },
    { sopClassUid: "1.2.840.10008.5.1.4.1.1.4", sopInstanceUid: first.sopInstanceUid },
  ];
  for (const isAgain of [false, true]) {
    if (isAgain) {
      await exchange.stop("hospital-a");
      await exchange.start("hospital-a");
    }
    expect(await commitment(here)).toEqual({ type: 1, committed: here, failed: [] });
    expect(await commitment([...strangers, first])).toEqual({
      type: 2,
      committed: [first],
      failed: [0x0112, 0x0119].map((reason, index) => ({ ...strangers[index], reason })),
    });
  }
});
