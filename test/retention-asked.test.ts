/** A document that a person discarded, once its retention is over: what the journal tells of it, and that it comes again as a new one. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { showLines } from "../commands/journal/show.ts";
import type { Traced } from "../commands/journal/trace.ts";
import { openRetention } from "../pipeline/retention.ts";
import type { Site } from "../pipeline/site.ts";
import { verifyStore } from "../pipeline/verify.ts";
import { sampleMessage } from "./fixtures/documents.ts";
import { acksIn, type House, openHouse } from "./house.ts";
import { testPki, until } from "./sites.ts";

let house: House;
beforeAll(async () => {
  house = await openHouse(await testPki());
});
afterAll(() => house.close());

const asked = async (path: string, body?: unknown): Promise<{ readonly status: number; readonly text: string }> => {
  const { port, token } = house.admin;
  const response = await fetch(`http://127.0.0.1:${port}${path}`, {
    headers: { authorization: `Bearer ${token()}`, "content-type": "application/json" },
    ...(body === undefined ? {} : { method: "POST", body: JSON.stringify(body) }),
  });
  return { status: response.status, text: await response.text() };
};
const traced = async (query: string): Promise<Traced> => JSON.parse((await asked(`/trace/${query}`)).text) as Traced;
/** The same message, under another control id. */
const report = (controlId: string): Buffer =>
  Buffer.from(Buffer.from(sampleMessage("mdm-t02-116")).toString("latin1").replace("S116", controlId), "latin1");
const waits = async (controlId: string): Promise<string> => {
  expect(acksIn(await house.ask(report(controlId)))).toEqual([`AA ${controlId}`]);
  await until("it waits", async () => (await traced(controlId)).documents[0]?.state === "waiting");
  return (await traced(controlId)).documents[0]?.id ?? "";
};
/** As a house does that has this retention, 40 days from now. */
const later = async (): Promise<number> => {
  const own = { channels: [], retention: { refused: {}, filtered: {}, done: {}, audit: {} } };
  const discarded = { for: 30 * 86_400_000 };
  const now = (): Date => new Date(Date.now() + 40 * 86_400_000);
  const config = { own: { ...own, retention: { ...own.retention, discarded } } };
  // So much time has passed.
  await house.store.commit([house.store.believed.put(now().getTime())]);
  return await openRetention({ store: house.store, config, log: () => undefined, now } as unknown as Site).look();
};

test("it is told that its retention is over, the balance and the store hold, and what comes again waits", async () => {
  const id = await waits("OVER1");
  const reason = { reason: "another patient's PID-3" };
  expect((await asked(`/journal/${id}/discard`, reason)).status).toBeLessThan(300);
  const revealed = await asked(`/journal/${id}/reveal`, reason);
  expect([revealed.status, revealed.text]).toEqual([200, expect.stringContaining("<ClinicalDocument")]);
  const balance = await house.store.checks.reconcile(["documents"]);
  expect(await later()).toBe(1);

  for (const verb of ["release", "resend", "reveal"]) {
    const { status, text } = await asked(`/journal/${id}/${verb}`, reason);
    expect([verb, status, text]).toEqual([verb, 404, expect.stringContaining("retention is over")]);
  }
  const { documents, arrivals } = await traced("OVER1");
  expect(documents).toMatchObject([{ id, state: "discarded", reason: reason.reason, retention: "over" }]);
  expect(arrivals).toMatchObject([{ controlId: "OVER1", state: "done" }]);
  expect(showLines(await traced(id)).join("\n")).toMatch(/retention +its retention is over/);
  expect((await asked(`/journal/${arrivals[0]?.id}/reveal`, reason)).text).toContain("retention is over");

  expect(await house.store.checks.reconcile(["documents"])).toEqual(balance);
  const looked = verifyStore(house.store);
  expect(await looked.next()).toMatchObject({ done: true, value: { acceptances: 1, blobs: 0 } });

  const again = await waits("OVER2");
  expect(again).not.toBe(id);
  expect((await asked(`/journal/${again}/reveal`, reason)).text).toContain("<ClinicalDocument");
  expect(acksIn(await house.ask(report("OVER3")))).toEqual(["AA OVER3"]);
  expect((await traced("OVER3")).arrivals).toMatchObject([{ state: "filtered", code: "REPEATED" }]);
  expect(await house.store.checks.dangling(10)).toEqual([]);
});
