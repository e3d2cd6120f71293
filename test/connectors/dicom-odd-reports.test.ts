/** Storage commitment as SCU against a PACS that reports oddly: what it did not report as committed is not. */
import { afterEach, expect, test } from "vitest";
import {
  commitmentClass,
  explicitLittle,
  implicitLittle,
  readRequest,
  writeAccept,
} from "../../connectors/dicom/association.ts";
import { requestCommitment } from "../../connectors/dicom/commit.ts";
import {
  type CommitmentReport,
  openTransactions,
  readCommitmentRequest,
  writeCommitmentReport,
} from "../../connectors/dicom/commitment.ts";
import { abort } from "../../connectors/dicom/pdu.ts";
import { command, ct, pdv, playing, type ScriptedPeer } from "../dicom-peer.ts";
import { context, settings } from "./dicom-listening.ts";
import { reportCommand } from "./scripted-pacs.ts";

let stop = (): void => undefined;
afterEach(() => stop());

const references = [1, 2].map((n) => ({ sopClassUid: ct, sopInstanceUid: `1.2.3.${n}` }));
type Asked = { readonly all: CommitmentReport; readonly accepted: Buffer };
/** Reports, on a context in its transfer syntax. */
const report = (told: CommitmentReport, contextId = 1, syntax = explicitLittle): Buffer =>
  Buffer.concat([
    command(contextId, ...reportCommand(told)),
    pdv(contextId, false, true, writeCommitmentReport(told, syntax)),
  ]);

/** A PACS that does as told when it is asked; how it was answered, and what became of the instances. */
async function asking(play: (peer: ScriptedPeer, asked: Asked) => void, change = {}) {
  const statuses: unknown[] = [];
  const pacs = await playing(async (peer) => {
    const request = readRequest((await peer.next())?.body ?? Buffer.alloc(0));
    const accepted = request.contexts.map((each) => ({
      ...each,
      result: 0 as const,
      transferSyntax: each.transferSyntaxes[0] ?? "",
    }));
    peer.send(writeAccept(request, accepted, 16_384));
    const { dataSet } = await peer.message();
    const { transactionUid } = readCommitmentRequest(dataSet, explicitLittle);
    const said = command(1, [2, commitmentClass], [0x100, 0x8130], [0x120, 1], [0x800, 0x101], [0x900, 0]);
    play(peer, { all: { transactionUid, committed: references, failed: [] }, accepted: said });
    for (;;) statuses.push((await peer.message()).command.get(0x900));
  });
  ({ stop } = pacs);
  const peer = settings(pacs.port, { responseSeconds: 3_600, ...change });
  const outcome = await requestCommitment(peer, references, 5, openTransactions(), context.signal);
  return { outcome: outcome && [...outcome.values()], statuses };
}

test("on another context that was accepted, in its transfer syntax", async () => {
  const { outcome } = await asking((peer, { all, accepted }) => peer.send(accepted, report(all, 3, implicitLittle)));
  expect(outcome).toEqual([null, null]);
});

test("before it answers the request, and twice", async () => {
  const { outcome } = await asking((peer, { all, accepted }) => peer.send(report(all), report(all), accepted));
  expect(outcome).toEqual([null, null]);
});

test("on another transaction first", async () => {
  const { outcome } = await asking((peer, { all, accepted }) =>
    peer.send(
      accepted,
      report({ ...all, transactionUid: "2.25.9" }),
      report({ ...all, committed: [], failed: references.map((each) => ({ ...each, reason: 0x0112 })) }),
    ),
  );
  expect(outcome).toEqual([0x0112, 0x0112]);
});

test.each([
  ["about strangers alone", () => [{ sopClassUid: ct, sopInstanceUid: "1.2.3.9" }], [0x0110, 0x0110]],
  ["about one of them", () => references.slice(1), [0x0110, null]],
])("%s", async (_what, committed, told) => {
  const { outcome } = await asking((peer, { all, accepted }) =>
    peer.send(accepted, report({ ...all, committed: committed() })),
  );
  expect(outcome).toEqual(told);
});

test("of one instance as committed and failed is a failure", async () => {
  const failed = references.slice(0, 1).map((each) => ({ ...each, reason: 0x0112 }));
  const { outcome } = await asking((peer, { all, accepted }) => peer.send(accepted, report({ ...all, failed })));
  expect(outcome).toEqual([0x0112, null]);
});

test("and is gone before it is answered", async () => {
  const { outcome } = await asking((peer, { all, accepted }) => {
    peer.send(accepted, report(all), abort(0, 0));
    peer.socket.end();
  });
  expect(outcome).toEqual([null, null]);
});

test("that is none is answered so, and one that follows counts", async () => {
  const { outcome } = await asking((peer, { all, accepted }) =>
    peer.send(
      accepted,
      command(1, ...reportCommand(all)),
      pdv(1, false, true, Buffer.from("no data set")),
      report(all),
    ),
  );
  expect(outcome).toEqual([null, null]);
});
