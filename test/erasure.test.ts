/** A person erases a patient, at the registry and at a house: the verb as it is typed, and what answers and logs say after it. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import type { Audited } from "../store/store.ts";
import { type Ran, semrs } from "./commands/cli.ts";
import { type Asking, openAsking } from "./exchange/asking.ts";
import { documentOf, registration } from "./exchange/indexed.ts";
import { cda, chen, mdmFor } from "./fixtures/documents.ts";
import { type SiteName, type TestExchange, until } from "./sites.ts";

let exchange: TestExchange;
let asking: Asking;
beforeAll(async () => {
  ({ exchange, asking } = await openAsking());
});
afterAll(() => exchange.close());

const erase = (site: SiteName, args: readonly string[], input?: Uint8Array): Promise<Ran> =>
  semrs(["erase", ...args, "--config", join(exchange.folder, `${site}.yaml`)], {
    env: { ...exchange.env, SITE: site },
    ...(input ? { input } : {}),
  });
const audited = async (site: SiteName): Promise<readonly Audited[]> => {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await exchange.admin(site).download("/audit", { reason: "a test" })) chunks.push(chunk);
  const lines = Buffer.concat(chunks).toString().trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as Audited);
};
const idsIn = (entries: readonly Audited[]): readonly (readonly string[] | null)[] =>
  entries.flatMap(({ patients }) => patients.map(({ ids }) => ids));

test("at the registry: said first, done with --yes; no question finds the patient, and the audit log names nobody", async () => {
  const patientIds = [{ root: "1.2", extension: "PX4711" }];
  const query = Buffer.from(
    JSON.stringify({ command: "query", query: "findDocuments", patientIds, purposeOfUse: "TREAT" }),
  );
  const found = async (): Promise<number | undefined> =>
    (await asking.ask("hospital-b", "query", query)).found?.entries.length;
  await asking.ask("hospital-a", "register", registration([documentOf("one", { patientIds }), documentOf("other")]));
  expect(await found()).toBe(1);

  const whom = ["--patient", "1.2^PX4711"];
  const reach = "1 keys, 1 registered entries, whom 2 entries of the audit log are about";
  expect((await erase("registry", whom)).exit).toBe(64);
  expect(await erase("registry", [...whom, "--reason", "request 41"])).toMatchObject({
    exit: 0,
    out: `${reach}\n`,
    err: "nothing is erased yet; --yes does it, and nothing undoes it\n",
  });
  expect(await found()).toBe(1);
  const file = ["--patient-file", "-", "--reason", "request 41", "--yes"];
  expect(await erase("registry", file, Buffer.from("1.2^PX4711\n"))).toEqual({
    exit: 0,
    out: `${reach.replace("2 entries", "3 entries")}: erased\n`,
    err: "",
  });

  expect(await found()).toBe(0);
  const entries = await audited("registry");
  const at = entries.findIndex(({ event }) => event === "erasure");
  expect(entries[at]).toMatchObject({ peer: "admin", count: 1, reason: "request 41", patients: [] });
  expect(idsIn(entries.slice(0, at))).toEqual([null, ["1.2^1"], null, null]);
  const unknown = await erase("registry", ["--patient", "1.2^PX4712", "--reason", "request 42", "--yes"]);
  expect(unknown).toMatchObject({ exit: 65, out: "", err: expect.stringContaining("nothing that can be erased") });
  const again = await asking.ask("hospital-a", "register", registration([documentOf("one", { patientIds })]));
  expect(again.refusal?.code).toBe("DOCUMENT_REMOVED");
  for (const each of ["PX471", "request 4"]) expect(JSON.stringify(exchange.log) + unknown.err).not.toContain(each);
}, 120_000);

test("at a house: its audit log tells no more whom it was about; the record goes by its retention", async () => {
  const bytes = cda({
    form: "113",
    extension: "E.1",
    patient: chen,
    code: "1",
    display: "x",
    title: "檢驗報告",
    body: "x",
  });
  await exchange.message(mdmFor(bytes, { controlId: "E.1", patient: chen }));
  await until("registered", async () => {
    const { records } = await exchange.admin("hospital-a").get<Traced>("/trace/E.1");
    return records.some(({ state }) => state === "registered");
  });
  expect(idsIn(await audited("hospital-a")).flat()).toContain(chen.chart);
  const ids = Buffer.from(`${chen.chart}\nnational^${chen.national}\n`);
  const ran = await erase("hospital-a", ["--patient-file", "-", "--reason", "request 43", "--yes"], ids);
  expect(ran).toMatchObject({ exit: 0, out: expect.stringMatching(/, 0 registered entries, .*: erased\n$/), err: "" });
  const named = idsIn(await audited("hospital-a"));
  expect(named.length).toBeGreaterThan(1);
  expect(new Set(named)).toEqual(new Set([null]));
  const { records } = await exchange.admin("hospital-a").get<Traced>("/trace/E.1");
  expect(records).toMatchObject([{ state: "registered" }]);
}, 120_000);
