/** What PACS B does to deliveries: it rejects our AE title, drops in mid-study, falls silent; nothing is lost, nothing parked. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { ports } from "../../commands/demo/sites.ts";
import type { Traced } from "../../commands/journal/trace.ts";
import { commitmentClass, explicitLittle } from "../../connectors/dicom/association.ts";
import { readCommitmentRequest, writeCommitmentReport } from "../../connectors/dicom/commitment.ts";
import { openAssociation } from "../../connectors/dicom/requestor.ts";
import { dicomDestination } from "../../connectors/dicom/scu.ts";
import {
  type Asked,
  reportCommand,
  reportFor,
  reportOn,
  type Script,
  type ScriptedPacs,
  scriptedPacs,
} from "../connectors/scripted-pacs.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { sampleMessage } from "../fixtures/documents.ts";
import { startOrthanc } from "../peers/orthanc.ts";
import { peer } from "../peers.ts";
import { dataSetSha256, openExchange, type TestExchange, testPki, until } from "../sites.ts";

let pki: string;
beforeAll(async () => {
  pki = await testPki();
});
const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

const study = ctStudy({ instancesPerSeries: 3 });
const digests = new Map(study.map(({ bytes, sopInstanceUid }) => [sopInstanceUid, dataSetSha256(bytes)]));

/** The study and its report at A, the patient admitted at B, whose PACS is scripted. */
async function delivering(
  script: Script,
  edit?: (yaml: string) => string,
): Promise<{ at: TestExchange; pacs: ScriptedPacs }> {
  const pacs = await scriptedPacs(script);
  stops.push(() => pacs.stop());
  return { at: await atPacs(pacs.port, edit), pacs };
}

async function atPacs(port: number, edit?: (yaml: string) => string): Promise<TestExchange> {
  const at = await openExchange(pki, { B_PACS: String(port), RETRY: "100ms" }, edit);
  stops.push(() => at.close());
  await at.instances(study.map(({ bytes }) => bytes));
  await at.message(sampleMessage("mdm-t02-116"));
  await at.registered(1);
  await at.message(sampleMessage("adt-a01"), "B_ADT");
  return at;
}
const logged = (at: TestExchange, event: string) => at.log.filter((line) => line.event === event);
const deliveries = async (at: TestExchange): Promise<Record<string, number>> =>
  (await at.admin("hospital-b").get<{ deliveries: Record<string, number> }>("/counts")).deliveries;

describe("PACS B", () => {
  test.for([3, 7])(
    "that rejects our AE title (reason %i) pauses alone, with one alarm, and is resumed by itself",
    async (reason) => {
      let isKnown = false;
      const { at, pacs } = await delivering({ reject: () => (isKnown ? undefined : [1, 1, reason]) });
      await until("probes", () => pacs.requests.length >= 4);
      await until("HIS B has the document", () => at.documentsAtB().size === 1);
      const alarms = at.log.filter(({ site, level }) => site === "hospital-b" && level === "error");
      expect(alarms).toHaveLength(1);
      expect(alarms[0]).toMatchObject({
        event: "deliver.paused",
        fields: {
          code: "AE_TITLE_UNKNOWN",
          peer: "pacs",
          reason: expect.stringContaining("AE title SEMRS_B, host 127.0.0.1"),
        },
      });
      expect((await deliveries(at)).parked ?? 0).toBe(0);
      // It stops and starts: the pause goes on, and the journal is not told twice.
      await at.stop("hospital-b");
      await at.start("hospital-b");
      const before = pacs.requests.length;
      await until("a probe after the restart", () => pacs.requests.length > before);
      isKnown = true;
      await until("all delivered", () => new Map(pacs.stored).size === study.length);
      await until("resumed", () => logged(at, "deliver.resumed").length === 1);
      expect(new Map(pacs.stored)).toEqual(digests);
      const record = String(logged(at, "deliver.paused")[0]?.fields.message);
      await until("the record delivered", async () => {
        const { records } = await at.admin("hospital-b").get<{ records: Record<string, number> }>("/counts");
        return records.delivered === 1;
      });
      const { steps } = await at.admin("hospital-b").get<Traced>(`/trace/${record}`);
      const events = steps.map(({ event }) => event);
      expect(events.filter((event) => event === "paused")).toHaveLength(1);
      expect(events.filter((event) => event === "resumed")).toHaveLength(1);
    },
  );

  test("that drops the association in mid-study gets the rest from the first undelivered instance, each once", async () => {
    let count = 0;
    const { at, pacs } = await delivering(
      {
        answer: ({ socket, field }) => {
          count += field === 1 ? 1 : 0;
          if (count !== 3) return 0;
          socket.destroy();
          return undefined;
        },
      },
      (yaml) => yaml.replace("associations: 4", "associations: 1"),
    );
    await until("all delivered", () => pacs.stored.length === study.length);
    await until("nothing waits", async () => ((await deliveries(at)).delivered ?? 0) >= 4);
    expect(pacs.stored.map(([uid]) => uid).sort()).toEqual([...digests.keys()].sort());
    expect(logged(at, "deliver.deferred")[0]?.fields.code).toBe("PEER_AMBIGUOUS");
  });

  test("that refuses the context of the whole study is told once, with what it takes", async () => {
    const implicit = "1.2.840.10008.1.2";
    const { at } = await delivering({ accepts: ({ transferSyntaxes }) => (transferSyntaxes[0] === implicit ? 0 : 4) });
    await until("parked", async () => (await deliveries(at)).parked === 1);
    const [parked, ...more] = logged(at, "deliver.parked");
    expect(more).toEqual([]);
    expect(parked?.fields).toMatchObject({
      code: "DICOM_UNSUPPORTED",
      reason: expect.stringMatching(/it takes .*1\.2\.840\.10008\.1\.2$/),
    });
  });
});

test("a health check by C-ECHO tells what changes, once, in the log, the metrics and /health/ready", async () => {
  let isKnown = true;
  const pacs = await scriptedPacs({ reject: () => (isKnown ? undefined : [1, 1, 3]) });
  stops.push(() => pacs.stop());
  const at = await openExchange(pki, { B_PACS: String(pacs.port) }, (yaml) =>
    yaml.replace("calledAeTitle: PACS_B, associations: 4", "calledAeTitle: PACS_B, echoEvery: 20ms"),
  );
  stops.push(() => at.close());
  const get = async (path: string): Promise<string> =>
    await (await fetch(`http://127.0.0.1:${at.env.B_ADMIN}${path}`)).text();
  const shows = async (state: string, up: number): Promise<void> =>
    await until(
      state,
      async () =>
        JSON.parse(await get("/health/ready")).systems.pacs === state &&
        (await get("/metrics")).includes(`semrs_system_up{system="pacs",site="hospital-b"} ${up}`),
    );
  await shows("up", 1);
  isKnown = false;
  await shows("AE_TITLE_UNKNOWN", 0);
  const asked = pacs.requests.length;
  await until("asked on", () => pacs.requests.length > asked + 3);
  isKnown = true;
  await shows("up", 1);
  const lines = at.log.filter(({ event }) => event.startsWith("health.")).map(({ event }) => event);
  expect(lines).toEqual(["health.lost", "health.restored"]);
});

const actionRq = 0x0130;
const noSuchInstance = 0x0112;
const proven = (how: string) => (yaml: string) =>
  yaml.replace("calledAeTitle: PACS_B, associations: 4", `calledAeTitle: PACS_B, proof: ${how}, proofSeconds: 0.5`);

describe("proof by storage commitment", () => {
  test("a study is delivered when the report on the same association says so, and not before", async () => {
    let report = (): void => undefined;
    let isAsked = false;
    const { at, pacs } = await delivering(
      {
        after: (asked) => {
          if (asked.field !== actionRq) return;
          report = () => reportOn(asked, () => null);
          isAsked = true;
        },
      },
      (yaml) => proven("commitment")(yaml).replace("proofSeconds: 0.5", "proofSeconds: 60"),
    );
    await until("the commitment is asked for", () => isAsked);
    expect(new Map(pacs.stored)).toEqual(digests);
    expect(at.log.some(({ event, fields }) => event === "deliver.delivered" && fields.peer === "pacs")).toBe(false);
    report();
    await until("delivered", () =>
      at.log.some(({ event, fields }) => event === "deliver.delivered" && fields.peer === "pacs"),
    );
  });

  test("an instance that the report names as missing is sent again, and it alone; then the study is proven", async () => {
    let rounds = 0;
    const lost = study[2]?.sopInstanceUid;
    const { at, pacs } = await delivering(
      {
        after: (asked) => {
          if (asked.field !== actionRq) return;
          rounds += 1;
          reportOn(asked, (uid) => (uid === lost && rounds < 3 ? noSuchInstance : null));
        },
      },
      proven("commitment"),
    );
    await until("delivered", () =>
      at.log.some(({ event, fields }) => event === "deliver.delivered" && fields.peer === "pacs"),
    );
    expect(pacs.stored.map(([uid]) => uid).sort()).toEqual([...digests.keys(), lost].sort());
    const deferred = logged(at, "deliver.deferred").map(({ fields }) => fields);
    expect(deferred[0]).toMatchObject({
      code: "PEER_BUSY",
      reason: expect.stringMatching(/1 of 6 instances \(Failure Reason 0112\)/),
    });
  });

  test("a report on an association of the PACS's own, to our listener, proves the study as well", async () => {
    const { OURS = "" } = await ports(["OURS"]);
    const told: number[] = [];
    const reportBack = async ({ dataSet, transferSyntax, socket }: Asked): Promise<void> => {
      const report = reportFor(readCommitmentRequest(dataSet, transferSyntax), () => null);
      socket.destroy();
      const settings = { host: "127.0.0.1", port: Number(OURS), callingAeTitle: "PACS_B", calledAeTitle: "SEMRS_B" };
      const contexts = [{ id: 1, abstractSyntax: commitmentClass, transferSyntaxes: [explicitLittle] }];
      const peer = dicomDestination.options.parse(settings);
      const association = await openAssociation(peer, contexts, new AbortController().signal);
      const bytes = writeCommitmentReport(report, explicitLittle);
      told.push(await association.request(1, reportCommand(report), one(bytes)));
      await association.release();
    };
    const { at, pacs } = await delivering(
      { after: (asked) => void (asked.field === actionRq && reportBack(asked)) },
      (yaml) =>
        yaml.replace(
          "calledAeTitle: PACS_B, associations: 4",
          `calledAeTitle: PACS_B, listen: "127.0.0.1:${OURS}", proof: commitment`,
        ),
    );
    await until("delivered", () =>
      at.log.some(({ event, fields }) => event === "deliver.delivered" && fields.peer === "pacs"),
    );
    expect(told).toEqual([0]);
    expect(pacs.stored).toHaveLength(study.length);
  });

  test("a class that the PACS will not keep parks the delivery with the Failure Reason", async () => {
    const { at } = await delivering(
      { after: (asked) => void (asked.field === actionRq && reportOn(asked, () => 0x0122)) },
      proven("commitment"),
    );
    await until("parked", () => logged(at, "deliver.parked").length === 1);
    expect(logged(at, "deliver.parked")[0]?.fields).toMatchObject({
      code: "PEER_REFUSED",
      reason: expect.stringContaining("0122"),
    });
  });

  test("no report in time is ambiguous: the commitment is asked for again, nothing is sent again", async () => {
    let rounds = 0;
    const { at, pacs } = await delivering(
      {
        after: (asked) => {
          if (asked.field === actionRq) rounds += 1;
          if (asked.field === actionRq && rounds === 2) reportOn(asked, () => null);
        },
      },
      proven("commitment"),
    );
    await until("delivered", () =>
      at.log.some(({ event, fields }) => event === "deliver.delivered" && fields.peer === "pacs"),
    );
    expect(pacs.stored).toHaveLength(study.length);
    expect(logged(at, "deliver.deferred")[0]?.fields.code).toBe("PEER_AMBIGUOUS");
  });

  test("a PACS without storage commitment is told as a matter of configuration", async () => {
    const { at } = await delivering(
      { accepts: ({ abstractSyntax }) => (abstractSyntax === "1.2.840.10008.1.20.1" ? 3 : 0) },
      proven("commitment"),
    );
    await until("parked", () => logged(at, "deliver.parked").length === 1);
    expect(logged(at, "deliver.parked")[0]?.fields).toMatchObject({
      code: "DICOM_UNSUPPORTED",
      reason: expect.stringContaining("proof: response"),
    });
  });
});

const orthanc = peer("Orthanc");
describe.skipIf(!orthanc.available)(`proof by count: Orthanc ${orthanc.reason}`, () => {
  test("names every instance; one that it said it took and lost is sent again", async () => {
    const folder = mkdtempSync(join(tmpdir(), "semrs-lua-"));
    const script = join(folder, "lose.lua");
    writeFileSync(
      script,
      `function ReceivedInstanceFilter(dicom, origin, info)
         if dicom.SOPInstanceUID == '${study[2]?.sopInstanceUid}' and not lost then lost = true return false end
         return true
       end`,
    );
    const pacs = await startOrthanc("PACS_B", {}, { LuaScripts: [script], DicomAlwaysAllowFind: true });
    stops.push(() => pacs.stop());
    const at = await atPacs(pacs.port, proven("count"));
    await until("delivered", () =>
      at.log.some(({ event, fields }) => event === "deliver.delivered" && fields.peer === "pacs"),
    );
    expect(await pacs.held()).toBe(study.length);
    expect(logged(at, "deliver.deferred")[0]?.fields).toMatchObject({
      code: "PEER_BUSY",
      reason: expect.stringMatching(/1 of 6 instances/),
    });
  });
});

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}
