/** A document that its house registers once more, under another manifest, since it had lost the record (decision 43). */
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeCommand } from "../../formats/command.ts";
import type { DocumentEntry } from "../../formats/document-entry.ts";
import type { TestExchange } from "../sites.ts";
import { type Asking, openAsking, type Said } from "./asking.ts";
import { documentOf, manifestOf, registration } from "./indexed.ts";

let exchange: TestExchange;
let asking: Asking;
beforeAll(async () => {
  ({ exchange, asking } = await openAsking());
});
afterAll(() => exchange.close());

const images = { studies: ["1.2.840"], modalities: ["CT"], series: 1, instances: 3 };
const patientIds = [{ root: "1.2", extension: "43" }];
const [before, after] = ["1", "2"].map((digit) => digit.repeat(64)) as [string, string];
const register = (...entries: readonly { readonly entry: DocumentEntry; readonly manifestSha256: string }[]) =>
  asking.ask(
    "hospital-a",
    "register",
    writeCommand<"register">({ command: "register", submissionSet: "0".repeat(32), entries: [...entries] }),
  );
const change = (command: Parameters<typeof writeCommand<"change">>[0]): Promise<Said> =>
  asking.ask("hospital-a", "change", writeCommand<"change">(command));
const found = async (uniqueId: string) => {
  const question = { command: "query", query: "getDocuments", uniqueIds: [uniqueId], purposeOfUse: "TREAT" };
  return (await asking.ask("hospital-b", "query", Buffer.from(JSON.stringify(question)))).found?.entries ?? [];
};

test("the one row of it names the new manifest and its images, and keeps what its house has corrected", async () => {
  const entry = documentOf("anew", { patientIds, confidentialityCode: "N" });
  const { uniqueId } = entry;
  expect(await register({ entry, manifestSha256: before })).toMatchObject({ status: 201 });
  const corrected = { ...entry, confidentialityCode: "V" };
  expect(
    await change({ command: "change", action: "update", uniqueId, manifestSha256: before, entry: corrected }),
  ).toMatchObject({ status: 200 });
  const [first] = await found(uniqueId);

  expect(await register({ entry: { ...entry, images }, manifestSha256: after })).toMatchObject({ status: 201 });
  const rows = await found(uniqueId);
  expect(rows).toMatchObject([{ id: first?.id, manifestSha256: after, entry: { confidentialityCode: "V", images } }]);
  expect(Date.parse(rows[0]?.registeredAt ?? "")).toBeGreaterThan(Date.parse(first?.registeredAt ?? ""));
  // Its house changes it under the manifest that it has now, and no other.
  const deprecate = (manifestSha256: string) =>
    change({ command: "change", action: "deprecate", uniqueId, manifestSha256 });
  expect((await deprecate(before)).refusal?.code).toBe("DOCUMENT_UNKNOWN");
  expect(await deprecate(after)).toMatchObject({ status: 200 });
});

test("what was cancelled, or removed, stays so", async () => {
  const [cancelled, gone] = [documentOf("cancelled", { patientIds }), documentOf("gone", { patientIds })];
  for (const [entry, action] of [
    [cancelled, "deprecate"],
    [gone, "remove"],
  ] as const) {
    await register({ entry, manifestSha256: before });
    await change({ command: "change", action, uniqueId: entry.uniqueId, manifestSha256: before });
  }
  expect(await register({ entry: cancelled, manifestSha256: after })).toMatchObject({ status: 201 });
  expect(await found(cancelled.uniqueId)).toMatchObject([
    { manifestSha256: after, entry: { availabilityStatus: "deprecated" } },
  ]);
  expect((await register({ entry: gone, manifestSha256: after })).refusal?.code).toBe("DOCUMENT_REMOVED");
});

test.each<Partial<DocumentEntry>>([
  { hash: "f".repeat(64) },
  { size: 2 },
  { patientIds: [{ root: "1.2", extension: "44" }] },
  { referenceIdList: ["A1"] },
  { relatedDocuments: [{ type: "RPLC", uniqueId: "1.2.3^another" }] },
])("another document under its id is refused: %j", async (differs) => {
  const entry = documentOf("another", { patientIds });
  expect(await register({ entry, manifestSha256: before })).toMatchObject({ status: 201 });
  const { refusal } = await register({ entry: { ...entry, ...differs }, manifestSha256: after });
  expect(refusal?.code).toBe("DOCUMENT_CONFLICT");
  // Nor is it under the manifest that it has: a receipt would say that what was wrong is corrected.
  const same = (await register({ entry: { ...entry, ...differs }, manifestSha256: before })).refusal;
  expect(same).toMatchObject({
    code: "DOCUMENT_CONFLICT",
    title: expect.stringContaining(`/entry/${Object.keys(differs)}`),
  });
  expect(await found(entry.uniqueId)).toMatchObject([{ manifestSha256: before, entry }]);
});

test("what may be corrected is no matter when it is registered once more", async () => {
  const entry = documentOf("same", { patientIds });
  await register({ entry, manifestSha256: before });
  expect(await register({ entry: { ...entry, title: "otherwise" }, manifestSha256: before })).toMatchObject({
    status: 201,
  });
  expect(await found(entry.uniqueId)).toMatchObject([{ manifestSha256: before, entry }]);
});

test("it is not named twice in one envelope", async () => {
  const entry = documentOf("twice-anew", { patientIds });
  await asking.ask("hospital-a", "register", registration([entry]));
  const { refusal } = await register({ entry, manifestSha256: before }, { entry, manifestSha256: after });
  expect(refusal?.code).toBe("DOCUMENT_CONFLICT");
  expect(await found(entry.uniqueId)).toMatchObject([{ manifestSha256: manifestOf(entry.uniqueId) }]);
});
