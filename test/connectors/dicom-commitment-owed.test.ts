/** Reports of storage commitment that a restart left, at a scripted archive. */
import { expect, test } from "vitest";
import { commitmentClass, negotiate, readRequest, writeAccept } from "../../connectors/dicom/association.ts";
import { openCommitments } from "../../connectors/dicom/commitment-owed.ts";
import { releaseRp } from "../../connectors/dicom/pdu.ts";
import { dicomSource } from "../../connectors/dicom/scp.ts";
import { command, ct, playing } from "../dicom-peer.ts";
import { until } from "../sites.ts";

test("what a restart left is reported a few at a time", async () => {
  const owed = 20;
  let [open, most, settled] = [0, 0, 0];
  const gate = Promise.withResolvers<void>();
  const there = await playing(async (peer) => {
    const read = readRequest((await peer.next())?.body ?? Buffer.alloc(0));
    open += 1;
    most = Math.max(most, open);
    // Those that were begun at once are here before one is answered.
    if (open === 4) setImmediate(gate.resolve);
    await gate.promise;
    peer.send(writeAccept(read, negotiate(read.contexts), 16_384));
    const { contextId } = await peer.message();
    peer.send(command(contextId, [2, commitmentClass], [0x100, 0x8100], [0x120, 1], [0x800, 0x101], [0x900, 0]));
    await peer.next();
    open -= 1;
    peer.send(releaseRp);
    await peer.closed();
  });
  const to = { host: "127.0.0.1", port: there.port, aeTitle: "PACS_A" };
  const references = [{ sopClassUid: ct, sopInstanceUid: "1.2.3.1" }];
  const pledge = { commitment: { transactionUid: "2.25.4711", references, sender: "PACS_A" }, to };
  const settle = async (): Promise<void> => {
    settled += 1;
  };
  const deferred: string[] = [];
  openCommitments(dicomSource.options.parse({ port: 0, aeTitle: "SEMRS_A", commitmentRetrySeconds: 0.01 }), {
    log: (event) => void (event === "commitment.deferred" && deferred.push(event)),
    signal: new AbortController().signal,
    commit: async (asked) => asked.references.map(() => null),
    pledges: {
      keep: async () => settle,
      left: () => Array.from({ length: owed }, () => ({ pledge, settle })),
    },
  });
  await until("all are told", () => settled === owed);
  expect([deferred, most <= 4]).toEqual([[], true]);
  await there.stop();
});
