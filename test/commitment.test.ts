/** Storage commitment by a running house: what is durable here is committed, what is not is not, after a restart as before. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { explicitLittle, negotiate, readRequest, writeAccept } from "../connectors/dicom/association.ts";
import { readCommitmentReport } from "../connectors/dicom/commitment.ts";
import { releaseRp } from "../connectors/dicom/pdu.ts";
import { readHead } from "../formats/dicom.ts";
import { asked, commitment, eventRsp, transactionUid } from "./commitment-asked.ts";
import { associated, ct, pdv, playing, storeRq } from "./dicom-peer.ts";
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

const portOf = (at: TestExchange): number => Number(at.env.A_PACS);
const study = ctStudy({ instancesPerSeries: 2 }).map(({ bytes }) => bytes);
const here = study.map((bytes) => ({ sopClassUid: ct, sopInstanceUid: readHead(bytes).sopInstanceUid }));
const [first = { sopClassUid: ct, sopInstanceUid: "" }] = here;

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
    expect(await commitment(here, portOf(exchange))).toEqual({ type: 1, committed: here, failed: [] });
    expect(await commitment([...strangers, first], portOf(exchange))).toEqual({
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
    expect(await commitment(here, portOf(at))).toMatchObject({ type: 1 });
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

test("what was answered and not reported is reported after a restart, once, and sealed until then", async () => {
  const reported: unknown[] = [];
  let isUp = false;
  const archive = await playing(async (peer) => {
    if (!isUp) throw new Error("not there yet");
    const request = readRequest((await peer.next())?.body ?? Buffer.alloc(0));
    peer.send(writeAccept(request, negotiate(request.contexts), 16_384));
    const { contextId, dataSet } = await peer.message();
    reported.push(readCommitmentReport(dataSet, explicitLittle));
    peer.send(eventRsp(contextId));
    await peer.next();
    peer.send(releaseRp);
    await peer.closed();
  });
  const to = `callers: [{ aeTitle: PACS_A, commitmentTo: "127.0.0.1:${archive.port}" }]`;
  const at = await openExchange(pki, {}, (yaml) => yaml.replace("callers: []", to));
  const deferred = () => at.log.filter(({ event }) => event === "commitment.deferred").length;
  try {
    await at.instances(study);
    const peer = await asked(here, portOf(at));
    peer.socket.destroy();
    await until("the first attempt failed", () => deferred() === 1);
    await at.stop("hospital-a");
    expect(readFileSync(join(at.folder, "data", "hospital-a", "semrs.db")).includes(transactionUid)).toBe(false);
    isUp = true;
    await at.start("hospital-a");
    await until("it is reported", () => at.log.some(({ event }) => event === "commitment.reported"));
    expect(reported).toEqual([{ transactionUid, committed: here, failed: [] }]);
    await at.stop("hospital-a");
    isUp = false;
    await at.start("hospital-a");
    // Whoever asks now is reported to behind what was still owed.
    await commitment(here, portOf(at));
    expect({ reports: reported.length, deferred: deferred() }).toEqual({ reports: 1, deferred: 1 });
  } finally {
    await at.close();
    await archive.stop();
  }
});
