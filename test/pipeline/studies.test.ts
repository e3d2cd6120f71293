/** What happens to studies, on a whole exchange with the real listener: associations, late, corrected and rejected instances, restarts. */
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Traced } from "../../commands/journal/trace.ts";
import { semrs } from "../commands/cli.ts";
import { ctStudy, rejectionNote, type SampleInstance } from "../fixtures/dicom.ts";
import { adtFor, cda, chen, mdmFor } from "../fixtures/documents.ts";
import { dataSetSha256, openExchange, type TestExchange, testPki, until } from "../sites.ts";

let pki: string;
beforeAll(async () => {
  pki = await testPki();
});
let exchange: TestExchange;
afterEach(() => exchange.close());

type Listed = {
  readonly items: readonly {
    readonly id: string;
    readonly kind: string;
    readonly state: string;
    readonly code: string | null;
    readonly count: number;
    readonly study: string | null;
  }[];
};
const a = () => exchange.admin("hospital-a");
const listed = async (state: string) => (await a().get<Listed>(`/journal?state=${state}`)).items;
const traced = (id: string): Promise<Traced> => a().get<Traced>(`/trace/${id}`);
const registered = async (): Promise<number> =>
  (await a().get<{ records: Record<string, number> }>("/counts")).records.registered ?? 0;
const send = (instances: readonly SampleInstance[]) => exchange.instances(instances.map(({ bytes }) => bytes));
const report = (extension: string, change: { uid?: string; accession?: string } = {}): Uint8Array => {
  const { uid = "2.25.116001", accession = "ACC20260116" } = change;
  const body = { code: "18782-3", display: "x", title: "報告", body: "x", patient: chen, form: "116" };
  return mdmFor(cda({ ...body, extension, study: { uid, accession, series: [], modality: "CT" } }), {
    controlId: extension,
  });
};
let admissions = 0;
const admit = async (): Promise<void> => {
  admissions += 1;
  await exchange.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId: `ADT${admissions}` }), "B_ADT");
};
const sentTo = (uid: string): string | undefined => exchange.instancesAtB().get(uid);
const equals = (instances: readonly SampleInstance[]): boolean =>
  instances.every(({ sopInstanceUid, bytes }) => sentTo(sopInstanceUid) === dataSetSha256(bytes));
const at = (): readonly string[] => [
  "--admin",
  `http://127.0.0.1:${exchange.env.A_ADMIN}`,
  "--data",
  `${exchange.folder}/data/hospital-a`,
];
/** The same instances, corrected: other bytes under the same UIDs. */
const corrected = (instances: readonly SampleInstance[], octet = 1): readonly SampleInstance[] =>
  instances.map((instance) => {
    const bytes = Uint8Array.from(instance.bytes);
    bytes[bytes.length - 1] = (bytes.at(-1) ?? 0) ^ octet;
    return { ...instance, bytes };
  });

describe("late instances", () => {
  test("each burst follows as one addendum, a restart between any two events loses and doubles nothing", async () => {
    exchange = await openExchange(pki, { QUIET: "500ms" });
    const restart = async (): Promise<void> => {
      await exchange.stop("hospital-a");
      await exchange.start("hospital-a");
    };
    const bursts = [1, 20, 40].map((first) => ctStudy({ instancesPerSeries: 2, first }));
    await send(bursts[0] ?? []);
    await restart();
    await exchange.message(report("LATE.1"));
    await restart();
    await until("the record registered", async () => (await registered()) === 1);
    for (const [index, burst] of bursts.entries()) {
      if (index === 0) continue;
      await restart();
      // Each instance on an association of its own.
      for (const instance of burst) await send([instance]);
      if (index === 1) await restart();
      await until("the addendum registered", async () => (await registered()) === index + 1);
    }
    const records = (await traced("LATE.1")).records;
    expect(records.map(({ parts }) => parts)).toEqual([5]);
    const all = await a().get<readonly { parts: number }[]>("/records");
    expect(all.map(({ parts }) => parts).sort()).toEqual([5, 5, 5]);
    await admit();
    await until("everything at PACS B", () => equals(bursts.flat()));
    expect(exchange.documentsAtB().size).toBe(1);
    expect(await listed("waiting")).toEqual([]);
  });

  test("late images of another patient are held, those beside them follow, and a released one follows too", async () => {
    exchange = await openExchange(pki);
    await send(ctStudy({ instancesPerSeries: 1 }));
    await exchange.message(report("LATE.2"));
    await until("the record registered", async () => (await registered()) === 1);
    const [good, other] = [10, 20].map((first) =>
      ctStudy({ instancesPerSeries: 1, first, ...(first === 20 ? { patientId: "0099999" } : {}) }),
    );
    await send([...(good ?? []), ...(other ?? [])]);
    await until("an addendum registered", async () => (await registered()) === 2);
    const [held] = await listed("held");
    expect(held).toMatchObject({ code: "PATIENT_MISMATCH", count: 2 });
    await a().post(`/journal/${held?.id}/release`, { reason: "the admission office merged the two numbers" });
    await until("another addendum registered", async () => (await registered()) === 3);
    expect((await traced(held?.id ?? "")).records[0]?.parts).toBe(3);
  });

  test("a prior that is sent along waits for a report of its own, as one line", async () => {
    exchange = await openExchange(pki);
    const prior = ctStudy({ instancesPerSeries: 3, studyUid: "2.25.990001", accession: "ACC2025" });
    const current = ctStudy({ instancesPerSeries: 1 });
    await send([...prior, ...current]);
    await exchange.message(report("PRIOR.1"));
    await until("the record registered", async () => (await registered()) === 1);
    expect((await traced("PRIOR.1")).records[0]?.parts).toBe(3);
    expect(await listed("waiting")).toMatchObject([{ kind: "instance", count: 6, study: "study:2.25.990001" }]);
    await exchange.message(report("PRIOR.2", { uid: "2.25.990001", accession: "ACC2025" }));
    await until("its own record registered", async () => (await registered()) === 2);
    expect((await traced("PRIOR.2")).records[0]?.parts).toBe(7);
  });
});

describe("corrected instances under the same UIDs", () => {
  test("before sealing (REPLACED): one line, released with --replace, and only the new ones travel", async () => {
    exchange = await openExchange(pki);
    const first = ctStudy({ instancesPerSeries: 4 });
    await send(first);
    const second = corrected(first);
    for (const { state } of (await send(second)).values()) expect(state).toBe("delivered");
    const { out } = await semrs(["journal", "list", "--held", ...at()]);
    expect(out.match(/DICOM_CONFLICT {2}/g)).toHaveLength(1);
    expect(out).toMatch(/held .* 8 × instance in imaging\s+DICOM_CONFLICT/);
    expect(out).toMatch(/→ semrs journal release ID --replace/);
    const [, id = ""] = /^([0-9a-f]{8}) /m.exec(out) ?? [];
    expect(await semrs(["journal", "release", id, "--reason", "x", ...at()])).toMatchObject({ exit: 65 });
    const released = await semrs(["journal", "release", id, "--replace", "--reason", "PACS corrected it", ...at()]);
    expect(released.out).toMatch(/waiting, 8 instances of its study/);
    await exchange.stop("hospital-a");
    await exchange.start("hospital-a");
    await exchange.message(report("CORR.1"));
    await until("the record registered", async () => (await registered()) === 1);
    await admit();
    await until("the corrected study at PACS B", () => equals(second));
    expect((await traced("CORR.1")).records[0]?.parts).toBe(9);
    expect(await listed("held")).toEqual([]);
    // What was replaced and is sent again stays replaced.
    await send(first);
    expect([...(await listed("held")), ...(await listed("waiting"))]).toEqual([]);
  });

  test("after sealing (REPLACES): an addendum takes the place of what went, in whichever order the records arrive", async () => {
    exchange = await openExchange(pki);
    const first = ctStudy({ instancesPerSeries: 2 });
    await send(first);
    await exchange.message(report("CORR.2"));
    await until("the record registered", async () => (await registered()) === 1);
    const second = corrected(first.slice(0, 3));
    await send(second);
    const [held] = await listed("held");
    expect(held).toMatchObject({ code: "DICOM_CONFLICT", count: 3 });
    await a().post(`/journal/${held?.id}/release`, { reason: "PACS corrected it", replace: true });
    await until("the addendum registered", async () => (await registered()) === 2);
    // B asks for the newest first, and both deliveries are queued before one is made.
    await admit();
    await until("the untouched instance at PACS B", () => equals(first.slice(3)));
    await until("the corrected ones at PACS B", () => equals(second));
    await until("both records delivered", async () => {
      const { records } = await exchange.admin("hospital-b").get<{ records: Record<string, number> }>("/counts");
      return records.delivered === 2;
    });
    expect(equals([...second, ...first.slice(3)])).toBe(true);
    const steps = (
      await Promise.all((await a().get<readonly { id: string }[]>("/records")).map(({ id }) => traced(id)))
    )
      .flatMap(({ steps }) => steps)
      .map(({ detail }) => detail);
    expect(steps).toContain("3 instances, 3 replace what went before");
  });

  test("discard drops all of them", async () => {
    exchange = await openExchange(pki);
    const first = ctStudy({ instancesPerSeries: 2 });
    await send(first);
    await send(corrected(first));
    const [held] = await listed("held");
    expect(await a().post(`/journal/${held?.id}/discard`, { reason: "sent by mistake" })).toMatchObject({ count: 4 });
    expect(await listed("held")).toEqual([]);
    expect(await listed("waiting")).toMatchObject([{ count: 4 }]);
  });
});

describe("rejection notes", () => {
  const study = () => ctStudy({ instancesPerSeries: 2 });
  test("what still waits is not sealed; REJECTED and REJECTION_NOTE say so", async () => {
    exchange = await openExchange(pki);
    const [bad, ...good] = study();
    await send(study());
    await send([rejectionNote("113001", bad ? [bad] : [])]);
    await exchange.message(report("REJ.1"));
    await until("the record registered", async () => (await registered()) === 1);
    expect((await traced("REJ.1")).records[0]?.parts).toBe(4);
    await admit();
    await until("the good ones at PACS B", () => equals(good));
    expect(sentTo(bad?.sopInstanceUid ?? "")).toBeUndefined();
    const { steps } = await traced(bad?.sopInstanceUid ?? "");
    expect(steps).toContainEqual(expect.objectContaining({ event: "rejected", code: "REJECTED" }));
    expect(exchange.log.filter(({ event, level }) => event === "assemble.rejected" && level === "error")).toEqual([]);
  });

  test("a note that comes first counts, over a restart too", async () => {
    exchange = await openExchange(pki);
    const [bad, ...good] = study();
    const note = rejectionNote("113037", bad ? [bad] : []);
    await send([note]);
    await until("acted on", async () =>
      (await traced(note.sopInstanceUid)).steps.some(({ code }) => code === "REJECTION_NOTE"),
    );
    await exchange.stop("hospital-a");
    await exchange.start("hospital-a");
    for (const { state } of (await send(study())).values()) expect(state).toBe("delivered");
    expect(await listed("waiting")).toMatchObject([{ count: good.length }]);
  });

  test("what has gone is told of: people by an alarm, PACS B by the note as an addendum", async () => {
    exchange = await openExchange(pki);
    const all = study();
    await send(all);
    await exchange.message(report("REJ.2"));
    await until("the record registered", async () => (await registered()) === 1);
    const note = rejectionNote("113038", all);
    await send([note]);
    await exchange.stop("hospital-a");
    await exchange.start("hospital-a");
    await until("the addendum registered", async () => (await registered()) === 2);
    // One alarm, although the site was started anew between the note and its addendum.
    expect(exchange.log.filter(({ event, level }) => event === "assemble.rejected" && level === "error")).toHaveLength(
      1,
    );
    expect((await traced("REJ.2")).steps).toContainEqual(
      expect.objectContaining({ station: "assemble", event: "rejected", code: "REJECTED" }),
    );
    await admit();
    await until("the note at PACS B", () => equals([note]));
    // A second report takes nothing of what was rejected.
    await exchange.message(report("REJ.3"));
    await until("the second record registered", async () => (await registered()) === 3, 30_000);
    expect((await traced("REJ.3")).records[0]?.parts).toBe(2);
  });

  test("retention that expired at PACS A ends what waits, tells nobody, and lets the study be sent again", async () => {
    exchange = await openExchange(pki);
    const all = study();
    await send(all);
    await send([rejectionNote("113039", all)]);
    await until("nothing waits", async () => (await listed("waiting")).length === 0);
    await send(all);
    expect(await listed("waiting")).toMatchObject([{ count: 4 }]);
  });

  test("a selection of key images rejects nothing", async () => {
    exchange = await openExchange(pki);
    const all = study();
    await send([...all, rejectionNote("113000", all)]);
    await exchange.message(report("KEY.1"));
    await until("the record registered", async () => (await registered()) === 1);
    expect((await traced("KEY.1")).records[0]?.parts).toBe(6);
  });
});

test("ACCESSION_AMBIGUOUS: a number used in two years holds the report; a number that means nothing joins nothing", async () => {
  exchange = await openExchange(pki);
  const now = ctStudy({ instancesPerSeries: 1, studyUid: "2.25.5001", accession: "A77" });
  const then = ctStudy({ instancesPerSeries: 1, studyUid: "2.25.5002", accession: "A77", day: "20240301" });
  const nameless = ctStudy({ instancesPerSeries: 1, studyUid: "2.25.5003", accession: "XXX" });
  await send([...now, ...then, ...nameless]);
  await exchange.message(report("ACC.1", { uid: "2.25.5999", accession: "A77" }));
  await until("the report held", async () => (await listed("held")).some(({ code }) => code === "ACCESSION_AMBIGUOUS"));
  const [waiting] = (await listed("waiting")).filter(({ study }) => study === "study:2.25.5002");
  await a().post(`/journal/${waiting?.id}/discard`, { reason: "the study of 2024" });
  expect((await listed("waiting")).map(({ study }) => study)).not.toContain("study:2.25.5002");
  const [held] = await listed("held");
  await a().post(`/journal/${held?.id}/release`, { reason: "one study is left" });
  await until("the record registered", async () => (await registered()) === 1);
  expect((await traced("ACC.1")).records[0]?.parts).toBe(3);
  expect(await listed("waiting")).toMatchObject([{ study: "study:2.25.5003", count: 2 }]);
});
