/** A document that a person discarded, and that its sender sends again: corrected at the source, or discarded by mistake. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { cda, chen, mdmFor } from "./fixtures/documents.ts";
import { openHospitalA, type TestExchange, testPki, until } from "./sites.ts";

let at: TestExchange;
beforeAll(async () => {
  at = await openHospitalA(await testPki(), { STUDY_WAIT: "1h" });
});
afterAll(() => at.close());

const study = { uid: "1.2.3.4", accession: "ACC1", series: [], modality: "CT" };
const report = (extension: string, body: string): Uint8Array =>
  cda({ form: "116", extension, patient: chen, code: "1-8", display: "d", title: "t", body, study });
const traced = (id: string): Promise<Traced> => at.admin("hospital-a").get<Traced>(`/trace/${id}`);
const documentOf = async (id: string) => (await traced(id)).documents[0];

test.each([
  ["octet for octet", "b"],
  ["with other octets", "c"],
])("%s, it waits as a new one, and once", async (_how, body) => {
  const extension = `AGAIN.${body}`;
  await at.message(mdmFor(report(extension, "b"), { controlId: `A1${body}` }));
  await until("it waits", async () => (await documentOf(`A1${body}`))?.state === "waiting");
  const { id = "" } = (await documentOf(`A1${body}`)) ?? {};
  await at.admin("hospital-a").post(`/journal/${id}/discard`, { reason: "another patient's PID-3" });
  await at.message(mdmFor(report(extension, body), { controlId: `A2${body}` }));
  expect(await documentOf(`A2${body}`)).toMatchObject({ state: "waiting", code: null });
  await at.message(mdmFor(report(extension, body), { controlId: `A3${body}` }));
  expect((await traced(`A3${body}`)).arrivals[0]).toMatchObject({ state: "filtered", code: "REPEATED" });
  expect((await at.admin("hospital-a").get<Traced>(`/trace/${id}`)).documents).toContainEqual(
    expect.objectContaining({ id, state: "discarded" }),
  );
});

test("under the same MSH-10 nothing comes of it, which log and journal say", async () => {
  const message = mdmFor(report("AGAIN.SAME", "b"), { controlId: "S1" });
  await at.message(message);
  await until("it waits", async () => (await documentOf("S1"))?.state === "waiting");
  const repeated = async () => {
    expect(await at.message(message)).toMatchObject({ detail: "AA" });
    const { documents, steps } = await traced("S1");
    const told = at.log.filter(({ event, fields }) => event === "source.repeated" && fields.controlId === "S1");
    const details = steps.filter(({ event }) => event === "repeated").map(({ detail }) => detail);
    return [documents.map(({ state }) => state).join(), told.map(({ level }) => level).join(), ...details];
  };
  expect(await repeated()).toEqual(["waiting", "info"]);
  const { id = "" } = (await documentOf("S1")) ?? {};
  await at.admin("hospital-a").post(`/journal/${id}/discard`, { reason: "another patient's PID-3" });
  const said = "what came of this message was discarded: its HIS has to send it under a new control id (MSH-10)";
  expect(await repeated()).toEqual(["discarded", "info,warn", said]);
  expect(await repeated()).toEqual(["discarded", "info,warn,warn", said]);
});
