/** Pause, drain and resume of channels and systems: in force at once and after a restart, and never forgotten. */
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, expect, test } from "vitest";
import type { StopLine } from "../pipeline/stops.ts";
import { semrs } from "./commands/cli.ts";
import { ctStudy } from "./fixtures/dicom.ts";
import { adtFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "./sites.ts";

let at: TestExchange;
beforeAll(async () => {
  at = await openExchange(await testPki(), { RETRY: "100ms", STUDY_WAIT: "1ms" });
});
afterAll(() => at.close());

const admin = () => at.admin("hospital-a");
const act = (name: string, verb: string) => admin().post(`/stops/${name}/${verb}`, { reason: "a test" });
const stops = () => admin().get<readonly StopLine[]>("/stops");
afterEach(async () => {
  for (const { kind, name } of await stops()) await act(`${kind}:${name}`, "resume");
});
let number = 0;
/** A report of form 113 (channel documents) or 116 (imaging), and what its sender is answered. */
async function report(form: "113" | "116" = "113") {
  number += 1;
  const study = { uid: `2.25.99${number}`, accession: "", series: [], modality: "CT" };
  const document = cda({
    ...{ form, extension: `P.${number}`, patient: chen, code: "x", display: "x", title: "x", body: "x" },
    ...(form === "116" ? { study } : {}),
  });
  return await at.message(mdmFor(document, { controlId: `P${number}` }));
}
const registered = async (): Promise<number> =>
  (await admin().get<{ deliveries: Record<string, number> }>("/counts")).deliveries.delivered ?? 0;
const where = () => ["--admin", `http://127.0.0.1:${at.env.A_ADMIN}`, "--data", join(at.folder, "data", "hospital-a")];

test("a partner that is paused gets nothing, over a restart, until it is resumed; what comes is accepted, and it is told everywhere", async () => {
  const { exit, out } = await semrs(["pause", "registry", "--reason", "it is moved", ...where()]);
  expect({ exit, out }).toEqual({ exit: 0, out: "system registry paused, 0 left\n" });
  expect(await report()).toMatchObject({ state: "delivered" });
  await until("queued", async () => (await stops())[0]?.left === 1);
  await at.stop("hospital-a");
  await at.start("hospital-a");
  expect(await report()).toMatchObject({ state: "delivered" });
  await until("queued", async () => (await stops())[0]?.left === 2);
  expect(await registered()).toBe(0);

  const ready = await fetch(`http://127.0.0.1:${at.env.A_ADMIN}/health/ready`, { headers: { accept: "text/plain" } });
  expect(ready.status).toBe(200);
  expect(await ready.text()).toMatch(/^warn system registry: paused since \S+Z, 2 left: it is moved$/m);
  expect((await semrs(["status", ...where()])).err).toMatch(
    /^system registry paused since \S+Z, 2 left: it is moved$/m,
  );
  expect(at.log.filter(({ event }) => event === "admin.paused")).toMatchObject([
    { level: "warn", fields: { peer: "registry", reason: "it is moved" } },
  ]);
  await act("registry", "resume");
  await until("registered", async () => (await registered()) === 2);
  expect(await stops()).toEqual([]);
});

test("a channel that is paused waits, and another to the same destination does not", async () => {
  const before = await registered();
  await act("documents", "pause");
  await report("113");
  await report("116");
  await until("imaging is registered", async () => (await registered()) === before + 1);
  expect(await stops()).toMatchObject([{ kind: "channel", name: "documents", mode: "paused", left: 1 }]);
  await act("documents", "resume");
  await until("both", async () => (await registered()) === before + 2);
});

test("a system that is drained is answered AR or A700, others are served, and what was queued goes", async () => {
  await act("registry", "pause");
  await report();
  await act("his", "drain");
  await act("pacs", "drain");
  expect(await report()).toMatchObject({ state: "refused", code: "PEER_BUSY", detail: expect.stringMatching(/^AR/) });
  const [outcome] = (await at.instances(ctStudy({ instancesPerSeries: 1 }).map(({ bytes }) => bytes))).values();
  expect(outcome).toMatchObject({ state: "refused", detail: "A700" });
  const before = await registered();
  await act("registry", "resume");
  await until("drained", async () => (await registered()) === before + 1);
  await act("his", "resume");
  expect(await report()).toMatchObject({ state: "delivered" });
});

test("a channel that is drained refuses what is its own, other channels of the system do not; --wait tells when nothing is left", async () => {
  await act("registry", "pause");
  await report();
  await act("documents", "drain");
  expect(await report("113")).toMatchObject({ state: "refused", detail: expect.stringMatching(/^AR/) });
  expect(await report("116")).toMatchObject({ state: "delivered" });
  const waiting = semrs(["drain", "documents", "--wait", "--json", "--reason", "a test", ...where()]);
  await act("registry", "resume");
  expect(JSON.parse((await waiting).out)).toEqual({ kind: "channel", name: "documents", mode: "draining", left: 0 });
});

test("an inbound channel that is drained asks for nobody", async () => {
  await at.admin("hospital-b").post("/stops/incoming/drain", { reason: "a test" });
  const admission = adtFor(`${chen.national}^^^MOI^NI`, { controlId: "D1" });
  expect(await at.message(admission, "B_ADT")).toMatchObject({
    state: "refused",
    detail: expect.stringMatching(/^AR/),
  });
  await at.admin("hospital-b").post("/stops/incoming/resume", { reason: "a test" });
  expect(await at.message(admission, "B_ADT")).toMatchObject({ state: "delivered" });
});

test("what is not there cannot be stopped; a partner cannot be drained", async () => {
  await expect(act("ris", "pause")).rejects.toThrow(
    /there is no ris; there is imaging, documents, his, pacs, registry/,
  );
  await expect(act("registry", "drain")).rejects.toThrow(/registry is a partner: pause it/);
});
