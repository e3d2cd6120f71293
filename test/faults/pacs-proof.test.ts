/** When PACS B has proven that it keeps a study: by storage commitment, by count; what it lost is sent again. */
import { mkdtempSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { ports } from "../../commands/demo/ports.ts";
import { commitmentClass, explicitLittle } from "../../connectors/dicom/association.ts";
import { readCommitmentRequest, writeCommitmentReport } from "../../connectors/dicom/commitment.ts";
import { openAssociation } from "../../connectors/dicom/requestor.ts";
import { dicomDestination } from "../../connectors/dicom/scu.ts";
import { type Asked, reportCommand, reportFor, reportOn } from "../connectors/scripted-pacs.ts";
import { startOrthanc } from "../peers/orthanc.ts";
import { peer } from "../peers.ts";
import { type TestExchange, until } from "../sites.ts";
import { atPacs, delivering, digests, housesWithPacs, logged, stops, study } from "./pacs-b.ts";

housesWithPacs();

const actionRq = 0x0130;
const noSuchInstance = 0x0112;
const proven = (how: string) => (yaml: string) =>
  yaml.replace("calledAeTitle: PACS_B, associations: 4", `calledAeTitle: PACS_B, proof: ${how}, proofSeconds: 0.5`);
const isDelivered = (at: TestExchange): boolean =>
  logged(at, "deliver.delivered").some(({ fields }) => fields.peer === "pacs");

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
    expect(isDelivered(at)).toBe(false);
    report();
    await until("delivered", () => isDelivered(at));
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
    await until("delivered", () => isDelivered(at));
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
    await until("delivered", () => isDelivered(at));
    await until("its answer is read", () => told.length === 1);
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

  test("what it lost is sent again before the delivery is parked for another that it will not keep", async () => {
    let rounds = 0;
    const [lost, unkept] = [study[2]?.sopInstanceUid, study[4]?.sopInstanceUid];
    const { at, pacs } = await delivering(
      {
        after: (asked) => {
          if (asked.field !== actionRq) return;
          rounds += 1;
          reportOn(asked, (uid) => (uid === unkept ? 0x0122 : uid === lost && rounds < 3 ? noSuchInstance : null));
        },
      },
      proven("commitment"),
    );
    await until("parked", () => logged(at, "deliver.parked").length === 1);
    expect(pacs.stored.filter(([uid]) => uid === lost)).toHaveLength(2);
    expect(logged(at, "deliver.parked")[0]?.fields).toMatchObject({
      code: "PEER_REFUSED",
      reason: expect.stringMatching(/1 of 6 instances \(Failure Reason 0122\)/),
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
    await until("delivered", () => isDelivered(at));
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
    await until("delivered", () => isDelivered(at));
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
