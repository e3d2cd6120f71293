/** What three sites' audit logs tell of a record that travelled, of what was refused, and of what a person did. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Audited } from "../store/store.ts";
import { bytesOf } from "./envelope/people.ts";
import { peerOf } from "./exchange/peer.ts";
import { ctStudy } from "./fixtures/dicom.ts";
import { chen, mdmFor, sampleMessage } from "./fixtures/documents.ts";
import { openExchange, type SiteName, type TestExchange, testPki, until } from "./sites.ts";

let pki: string;
let exchange: TestExchange;
beforeAll(async () => {
  pki = await testPki();
  exchange = await openExchange(pki);
});
afterAll(() => exchange.close());

async function audited(site: SiteName): Promise<readonly Audited[]> {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await exchange.admin(site).download("/audit", { reason: "a test" })) chunks.push(chunk);
  return Buffer.concat(chunks)
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Audited);
}
const told = (entries: readonly Audited[]) => new Set(entries.map(({ event, outcome }) => `${event} ${outcome}`));

test("every house tells its part: who sent what to whom, and about whom", async () => {
  const study = ctStudy({ instancesPerSeries: 1 });
  await exchange.instances(study.map(({ bytes }) => bytes));
  await exchange.message(sampleMessage("mdm-t02-116"));
  await exchange.registered(1);
  await exchange.message(sampleMessage("adt-a01"), "B_ADT");
  await until("proof at A", async () => told(await audited("hospital-a")).has("proof done"));
  const atB = ["message", "query", "retrieve", "open", "delivery", "receipt"].map((event) => `${event} done`);
  await until("all of B", async () => {
    const seen = told(await audited("hospital-b"));
    return atB.every((each) => seen.has(each));
  });
  const [a, registry, b] = [await audited("hospital-a"), await audited("registry"), await audited("hospital-b")];
  for (const each of ["start", "message", "instance", "seal", "register", "disclosure", "proof", "audit"])
    expect(told(a)).toContain(`${each} done`);
  expect(told(registry)).toEqual(new Set(["start done", "registration done", "answer done", "audit done"]));
  const [disclosure, opened] = [a, b].map((entries, n) =>
    entries.find(({ event }) => event === (["disclosure", "open"] as const)[n]),
  );
  const sealed = a.find(({ event }) => event === "seal");
  expect(disclosure).toMatchObject({ peer: "hospital-b", subject: sealed?.subject, count: 1 + study.length });
  expect(opened).toMatchObject({ peer: "hospital-a", subject: sealed?.subject, manifest: sealed?.manifest });
  for (const entry of [sealed, opened, a.find(({ event }) => event === "message")])
    expect(entry?.patients[0]?.ids).toContain(chen.national);
  expect(registry.find(({ event }) => event === "answer")?.patients[0]?.ids?.join()).toContain(chen.national);
});

test("a refusal has its cause, and what a person did its reason", async () => {
  await exchange.message(mdmFor(Buffer.from("<ClinicalDocument"), { controlId: "BROKEN1" }));
  const [refused] = (await audited("hospital-a")).filter(({ outcome }) => outcome === "refused");
  expect(refused).toMatchObject({ event: "message", code: "CDA_INVALID", peer: "his" });
  const { arrivals } = await exchange.admin("hospital-a").get<{ arrivals: { id: string }[] }>("/trace/BROKEN1");
  expect(refused?.subject).toBe(arrivals[0]?.id);
  const reason = "asked by the HIS vendor";
  for await (const _ of await exchange.admin("hospital-a").download("/journal/BROKEN1/reveal", { reason })) break;
  expect((await audited("hospital-a")).find(({ event }) => event === "read")).toMatchObject({
    subject: refused?.subject,
    reason,
    peer: "admin",
  });
});

test("an envelope that is not opened leaves the cause here, which its sender is not told", async () => {
  const peer = peerOf(pki, exchange.env.B_PORT);
  const foreign = await peer.push({ to: [{ org: "registry", certificate: peer.certificateOf("registry") }] });
  const { problem } = await peer.post(foreign.headers, await bytesOf(foreign.body()));
  const refused = (await audited("hospital-b")).find(({ outcome }) => outcome === "refused");
  expect(refused).toMatchObject({ event: "submission", peer: "hospital-a", code: "ENVELOPE_NOT_OPENED" });
  expect(refused?.reason).toBe("part 4: no RecipientInfo is for a key of ours");
  expect(problem).not.toContain(refused?.reason);
});
