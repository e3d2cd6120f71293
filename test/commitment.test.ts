/** Storage commitment by a running house: what is durable here is committed, what is not is not, after a restart as before. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { commitmentClass, explicitLittle } from "../connectors/dicom/association.ts";
import { commitmentInstance, readCommitmentReport, writeCommitmentRequest } from "../connectors/dicom/commitment.ts";
import { readHead } from "../formats/dicom.ts";
import { associated, command, ct, pdv, storeRq } from "./dicom-peer.ts";
import { ctStudy, mrStudy } from "./fixtures/dicom.ts";
import { sampleMessage } from "./fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "./sites.ts";

let pki: string;
let exchange: TestExchange;
beforeAll(async () => {
  pki = await testPki();
  exchange = await openExchange(pki);
});
afterAll(() => exchange.close());

const study = ctStudy({ instancesPerSeries: 2 }).map(({ bytes }) => bytes);
const here = study.map((bytes) => ({ sopClassUid: ct, sopInstanceUid: readHead(bytes).sopInstanceUid }));
const [first = { sopClassUid: ct, sopInstanceUid: "" }] = here;

/** By instance: null, or its Failure Reason. */
async function commitment(references: readonly { sopClassUid: string; sopInstanceUid: string }[], at = exchange) {
  const contexts = [{ id: 1, abstractSyntax: commitmentClass, transferSyntaxes: [explicitLittle] }];
  const peer = await associated(Number(at.env.A_PACS), contexts);
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

const registered = (at: TestExchange, controlId: string) => async (): Promise<boolean> => {
  const { records } = await at.admin("hospital-a").get<Traced>(`/trace/${controlId}`);
  return records.some(({ state, parts }) => state === "registered" && parts === study.length + 1);
};

test("what a PACS wants committed is a whole study: it travels at once, long before it would be quiet", async () => {
  const at = await openExchange(pki, { QUIET: "10m" });
  try {
    await at.instances(study);
    await at.message(sampleMessage("mdm-t02-116"));
    expect(await commitment(here, at)).toMatchObject({ type: 1 });
    await until("the record registered", registered(at, "S116"));
    const { steps } = await at.admin("hospital-a").get<Traced>("/trace/S116");
    expect(steps).toContainEqual(
      expect.objectContaining({ event: "assembled", detail: `${study.length} instances, all that its sender listed` }),
    );
  } finally {
    await at.close();
  }
});

test("while the association that sends a study is open, the study is not sealed, however quiet it is", async () => {
  const at = await openExchange(pki, { QUIET: "200ms" });
  try {
    const peer = await associated(Number(at.env.A_PACS));
    const store = async (instances: readonly Uint8Array[]): Promise<void> => {
      for (const bytes of instances) {
        const { sopInstanceUid, offset } = readHead(bytes);
        peer.send(storeRq(sopInstanceUid), pdv(1, false, true, bytes.subarray(offset)));
        expect((await peer.message()).command.get(0x900)).toBe(0);
      }
    };
    await store(study.slice(0, 2));
    await at.message(sampleMessage("mdm-t02-116"));
    // Another study comes, is quiet and goes meanwhile.
    await at.instances(mrStudy().map(({ bytes }) => bytes));
    await at.message(sampleMessage("mdm-t02-bare"));
    await at.registered(1);
    expect((await at.admin("hospital-a").get<Traced>("/trace/S116")).documents[0]?.state).toBe("waiting");
    await store(study.slice(2));
    peer.socket.end();
    await until("the whole study went as one", registered(at, "S116"));
  } finally {
    await at.close();
  }
});
