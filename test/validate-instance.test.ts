/** Findings about instances by the channel's grade: in the journal, held for a person, refused at C-STORE, or not looked for. */
import { afterEach, beforeAll, expect, test } from "vitest";
import { ctStudy } from "./fixtures/dicom.ts";
import { openHospitalA, type TestExchange, testPki, until } from "./sites.ts";

type Line = { id: string; state: string; code: string | null; reason: string | null };
type Listed = { readonly items: readonly Line[]; readonly refused: readonly Line[] };
type Traced = {
  readonly steps: readonly { station: string; event: string; detail: string | null; code: string | null }[];
};

let pki: string;
beforeAll(async () => {
  pki = await testPki();
});
let exchange: TestExchange;
afterEach(() => exchange.close());

const [sample] = ctStudy({ instancesPerSeries: 1 });
const bytes = sample?.bytes ?? Buffer.alloc(0);
/** The same with its Modality emptied, or its character set's name spoiled. */
const edited = (from: string, to: string): Buffer => {
  const copy = Buffer.from(bytes);
  copy.write(to, copy.indexOf(from), "latin1");
  return copy;
};
const incomplete = edited("CS\u0002\0CT", "CS\u0002\0\0\0");
const unknownCharset = edited("ISO_IR 192", "ISO_IR 999");

async function sent(grades: string, file: Uint8Array) {
  exchange = await openHospitalA(pki, {}, (yaml) =>
    yaml.replace("study: { structure: reject, iod: warn,", `study: { structure: reject, ${grades},`),
  );
  const [outcome] = (await exchange.instances([file])).values();
  return outcome;
}
const journal = (path: string) => exchange.admin("hospital-a").get<Listed & Traced>(path);

test("warn: it is taken, told in the journal with its tags, and counted", async () => {
  expect(await sent("iod: warn, charset: warn", unknownCharset)).toMatchObject({ state: "delivered" });
  const { items } = await journal("/journal");
  expect(items.map(({ state }) => state)).toEqual(["waiting"]);
  const { steps } = await journal(`/trace/${items[0]?.id}`);
  expect(steps.find(({ station }) => station === "validate")).toMatchObject({
    event: "validated",
    detail: "CHARSET_UNKNOWN (0008,0005)",
  });
  const labels = { station: "validate", outcome: "CHARSET_UNKNOWN" };
  expect(await exchange.admin("hospital-a").metric("semrs_station_seconds_count", labels)).toBe(1);
});

test("hold: it waits for a person, who may release it", async () => {
  expect(await sent("iod: warn, charset: hold", unknownCharset)).toMatchObject({ state: "delivered" });
  const [item] = (await journal("/journal")).items;
  expect(item).toMatchObject({ state: "held", code: "CHARSET_UNKNOWN" });
  await exchange.admin("hospital-a").post(`/journal/${item?.id}/release`, { reason: "names are right" });
  await until("it waits", async () => (await journal("/journal")).items[0]?.state === "waiting");
});

test("hold: one that a person discarded is held again when it is sent again", async () => {
  await sent("iod: warn, charset: hold", unknownCharset);
  const [item] = (await journal("/journal")).items;
  await exchange.admin("hospital-a").post(`/journal/${item?.id}/discard`, { reason: "sent by mistake" });
  for (const { state } of (await exchange.instances([unknownCharset])).values()) expect(state).toBe("delivered");
  expect((await journal("/journal")).items).toMatchObject([{ id: item?.id, state: "held", code: "CHARSET_UNKNOWN" }]);
});

test.each([
  ["iod: reject", incomplete, "A900"],
  ["iod: warn, charset: reject", unknownCharset, "C000"],
] as const)("%s: refused at C-STORE, and kept for a person alone", async (grades, file, status) => {
  expect(await sent(grades, file)).toMatchObject({ state: "refused", detail: status });
  const { items, refused } = await journal("/journal");
  expect(items).toEqual([]);
  expect(refused).toMatchObject([{ code: status === "A900" ? "DICOM_MISMATCH" : "DICOM_INVALID" }]);
});

test("skip: not told at all", async () => {
  expect(await sent("iod: skip, charset: skip", unknownCharset)).toMatchObject({ state: "delivered" });
  const [item] = (await journal("/journal")).items;
  expect((await journal(`/trace/${item?.id}`)).steps.filter(({ station }) => station === "validate")).toEqual([]);
});
