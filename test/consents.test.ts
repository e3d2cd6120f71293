/** A person of a house tells a patient's consent, and asks in an emergency: three houses, the verbs as they are typed. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import type { ConsentLine } from "../pipeline/consents.ts";
import type { Audited } from "../store/store.ts";
import { type Ran, semrs } from "./commands/cli.ts";
import { cda, chen, lin, mdmFor } from "./fixtures/documents.ts";
import { openExchange, type SiteName, sha256, type TestExchange, testPki, until } from "./sites.ts";

let exchange: TestExchange;
beforeAll(async () => {
  exchange = await openExchange(await testPki(), { RETRY: "100ms" });
});
afterAll(() => exchange.close());

const root = "2.16.886.104.100565";
const at =
  (site: SiteName) =>
  (...args: string[]): Promise<Ran> =>
    semrs([...args, "--config", join(exchange.folder, `${site}.yaml`)], { env: { ...exchange.env, SITE: site } });
const [a, b, registry] = [at("hospital-a"), at("hospital-b"), at("registry")];
const report = (extension: string, patient = chen, form = "113"): Uint8Array =>
  cda({ form, extension, patient, code: "11502-2", display: "x", title: "檢驗報告", body: extension });
const send = async (extension: string, patient = chen, form = "113"): Promise<Uint8Array> => {
  const bytes = report(extension, patient, form);
  await exchange.message(mdmFor(bytes, { controlId: extension, patient }));
  await until("registered", async () => {
    const { records } = await exchange.admin("hospital-a").get<Traced>(`/trace/${extension}`);
    return records.some(({ state }) => state === "registered");
  });
  return bytes;
};
const isAtB = (bytes: Uint8Array): boolean => exchange.documentsAtB().has(sha256(bytes));
/** What the registry answers hospital B. */
const asked = async (...args: string[]): Promise<string> => {
  const ran = await b("fetch", ...args);
  expect(ran).toMatchObject({ exit: 0, err: "" });
  const id = ran.out.slice(0, 32);
  let told = "";
  await until("answered", async () => {
    const { steps } = await exchange.admin("hospital-b").get<Traced>(`/trace/${id}`);
    told = steps.find(({ station, event }) => station === "fetch" && event === "answered")?.detail ?? "";
    return told !== "";
  });
  return told;
};
const audited = async (site: SiteName): Promise<readonly Audited[]> => {
  const chunks: Uint8Array[] = [];
  for await (const chunk of await exchange.admin(site).download("/audit", { reason: "a test" })) chunks.push(chunk);
  const lines = Buffer.concat(chunks).toString().trimEnd().split("\n");
  return lines.map((line) => JSON.parse(line) as Audited);
};
const shown = async (patientIds: readonly object[]): Promise<readonly ConsentLine[]> =>
  await exchange.admin("hospital-a").post<readonly ConsentLine[]>("/consents/search", { patientIds });

test("withdrawn: the registry tells nobody; in an emergency it does, and a person reviews it; given: it tells again", async () => {
  const first = await send("CONSENT.1");
  const national = ["--patient", `national^${chen.national}`];
  expect(await asked(...national)).toBe("1 entries, 1 new");
  await until("at HIS B", () => isAtB(first));
  const second = await send("CONSENT.2");

  const withdrawn = await a("consent", "withdraw", "--patient", chen.chart, "--reason", "form of chen, signed");
  expect(withdrawn).toMatchObject({ exit: 0, err: "", out: expect.stringMatching(/^[0-9a-f]{32} in force\n$/) });
  expect(await asked(...national)).toBe("0 entries, 0 new");

  const why = ["--emergency", "--reason", "unconscious, no relatives"];
  expect(await b("fetch", ...national, "--emergency")).toMatchObject({ exit: 64 });
  expect(await b("fetch", ...national, "--reason", "x")).toMatchObject({ exit: 64 });
  expect(await asked(...national, ...why)).toBe("2 entries, 1 new");
  await until("at HIS B", () => isAtB(second));

  const listed = await registry("emergency", "list");
  expect(listed.out).toMatch(/^[0-9a-f]{8} .* hospital-b +2 entries .* waits +unconscious, no relatives\n$/);
  const review = ["--by", "officer Lin", "--finding", "justified", "--reason", "admission seen"];
  expect(await registry("emergency", "review", listed.out.slice(0, 8), ...review)).toMatchObject({ exit: 0 });
  expect((await registry("emergency", "list")).err).toMatch(/^0 wait/);

  expect(await a("consent", "give", "--patient", `${root}^${chen.chart}`, "--reason", "by telephone")).toMatchObject({
    exit: 0,
    out: expect.stringMatching(/ in force\n$/),
  });
  expect(await asked(...national)).toBe("2 entries, 0 new");

  const { out } = await a("consent", "show", "--patient", `HOSPA^${chen.chart}`, "--reason", "asked at the desk");
  expect(out).toMatch(
    /^[0-9a-f]{8} +\S+Z +shares +all forms +all houses +in force +by telephone\n[0-9a-f]{8} +\S+Z +withholds .* in force +form of chen, signed\n$/,
  );

  const [atA, atB] = [await audited("hospital-a"), await audited("hospital-b")];
  expect(atA.filter(({ event }) => event === "consent")).toMatchObject([
    { code: "WITHHOLD", peer: "admin", reason: "form of chen, signed", patients: [{ ids: [chen.chart] }] },
    { code: "SHARE", peer: "admin", reason: "by telephone", patients: [{ ids: [chen.chart] }] },
  ]);
  expect(atA.find(({ event }) => event === "read")).toMatchObject({ code: "CONSENT", reason: "asked at the desk" });
  expect(atA.filter(({ event, outcome }) => event === "change" && outcome === "done")).toHaveLength(2);
  expect(atB.filter(({ event }) => event === "urgency")).toMatchObject([
    { peer: "admin", reason: "unconscious, no relatives", patients: [{ ids: [chen.national] }] },
  ]);
  const logged = JSON.stringify(exchange.log);
  for (const each of [chen.chart, chen.national, "form of chen", "unconscious", "withhold"])
    expect(logged).not.toContain(each);
}, 180_000);

describe("what is told of whom", () => {
  test("a form and a house of many; an id is read from a file or standard input", async () => {
    await send("PART.113", lin);
    await send("PART.114", lin, "114");
    const env = { ...exchange.env, SITE: "hospital-a" };
    const told = ["--forms", "113", "--to", "hospital-b", "--reason", "x", "--patient-file", "-"];
    const config = ["--config", join(exchange.folder, "hospital-a.yaml")];
    const input = Buffer.from(`${lin.chart}\n`);
    expect(await semrs(["consent", "withdraw", ...told, ...config], { env, input })).toMatchObject({ exit: 0 });
    expect(await asked("--patient", `national^${lin.national}`)).toBe("1 entries, 1 new");
    expect(await shown([{ root, extension: lin.chart }])).toMatchObject([
      { decision: "withhold", forms: ["113"], orgs: ["hospital-b"], state: "delivered", why: null },
    ]);
  });

  test.each([
    ["an id that another house gives", ["--patient", "HOSPB^1"], 65, "the house that gives the patient's id"],
    ["a name that identifiers does not have", ["--patient", "HOSPX^4711"], 64, "root or name that identifiers has"],
    ["nobody", [], 64, "say whom it is about"],
    ["a form that there is not", ["--patient", "4711", "--forms", "11"], 64, "forms"],
    ["a house that takes no part", ["--patient", "4711", "--to", "hospitl-b"], 65, "takes no part"],
  ])("refused: %s", async (_what, args, exit, says) => {
    const ran = await a("consent", "withdraw", ...args, "--reason", "x");
    expect(ran).toMatchObject({ exit, out: "", err: expect.stringContaining(says) });
    expect(ran.err).not.toContain("4711");
  });

  test("what the registry refused is parked; released after a later one of the patient it does not stand above it", async () => {
    const patientIds = [{ root, extension: "4712" }];
    const tell = async (change: object): Promise<string> => {
      const body = { patientIds, decision: "withhold", reason: "x", ...change };
      const [told] = await exchange.admin("hospital-a").post<readonly { id: string }[]>("/consents", body);
      return told?.id ?? "";
    };
    const isIn = (state: string, id: string) => async (): Promise<boolean> =>
      (await exchange.admin("hospital-a").get<ConsentLine>(`/consents/${id}`)).state === state;
    const parked = await tell({ orgs: ["hospitl-b"] });
    await until("parked", isIn("parked", parked));
    const later = await tell({ decision: "share" });
    await until("in force", isIn("delivered", later));
    await exchange.admin("hospital-a").post(`/journal/${parked}/release`, { reason: "a test" });
    await until("overtaken", isIn("discarded", parked));
    expect((await shown(patientIds)).map(({ id, why }) => [id, why])).toEqual([
      [later, null],
      [parked, "a later consent of this patient is in force; tell it anew"],
    ]);
  });

  test("one that the registry cannot be told now is kept over a restart, told of as that, and in force later, in its order", async () => {
    const patient = ["--patient", "4713", "--reason", "x"];
    await exchange.stop("registry");
    expect(await a("consent", "withdraw", ...patient, "--wait", "0.2")).toMatchObject({
      exit: 69,
      err: expect.stringContaining("not in force yet"),
    });
    expect(await a("consent", "give", ...patient, "--wait", "0.2")).toMatchObject({ exit: 69 });
    await exchange.stop("hospital-a");
    await exchange.start("hospital-a");
    await exchange.start("registry");
    const states = async () => (await shown([{ root, extension: "4713" }])).map(({ state }) => state);
    await until("both are in force", async () => (await states()).join() === "delivered,delivered");
    const marked = (await audited("registry")).filter(({ event }) => event === "amendment").slice(-2);
    expect(marked).toMatchObject([
      { patients: [{ ids: [`${root}^4713`] }] },
      { patients: [{ ids: [`${root}^4713`] }] },
    ]);
    expect((await shown([{ root, extension: "4713" }])).map(({ decision }) => decision)).toEqual(["share", "withhold"]);
  });

  /** ADT^A40 of hospital A's HIS. */
  const merge = (prior: string, surviving: string) => {
    const segments = [
      `MSH|^~\\&|HIS|HOSP|SEMRS|HOSP|20260119080000+0800||ADT^A40^ADT_A39|MERGE${prior}|P|2.5.1||||||UNICODE UTF-8`,
      "EVN|A40|20260119080000",
      `PID|1||${surviving}^^^HOSPA^MR||${chen.hl7Name}||${chen.birth}|${chen.sex}`,
      `MRG|${prior}^^^HOSPA^MR`,
      "",
    ];
    return exchange.message(Buffer.from(segments.join("\r")));
  };

  test("two ids that were merged are one patient: what was told under the other one goes first, however long that waits", async () => {
    await merge("4715", "4798");
    await until("merged there", () => exchange.log.some(({ event }) => event === "registry.merged"));
    const tell = async (extension: string, decision: string): Promise<string> => {
      const body = { patientIds: [{ root, extension }], decision, reason: "x" };
      return (await exchange.admin("hospital-a").post<readonly { id: string }[]>("/consents", body))[0]?.id ?? "";
    };
    await exchange.stop("registry");
    const first = await tell("4715", "share");
    // The longer it was tried, the longer it waits for the next attempt: three seconds by now.
    await until("tried", async () => {
      const { deliveries } = await exchange.admin("hospital-a").get<Traced>(`/trace/${first}`);
      return deliveries.some(({ attempts }) => attempts >= 6);
    });
    await exchange.start("registry");
    await tell("4798", "withhold");
    await until("both are in force", async () =>
      (await shown([{ root, extension: "4798" }])).every(({ state }) => state === "delivered"),
    );
    const told = (await audited("registry")).filter(({ event }) => event === "amendment").slice(-2);
    expect(told).toMatchObject([{ patients: [{ ids: [`${root}^4715`] }] }, { patients: [{ ids: [`${root}^4798`] }] }]);
  });

  test("what was told under an id is shown under the one into which it was merged", async () => {
    await a("consent", "withdraw", "--patient", "4714", "--reason", "x");
    expect(await shown([{ root, extension: "4799" }])).toEqual([]);
    await merge("4714", "4799");
    expect(await shown([{ root, extension: "4799" }])).toMatchObject([{ decision: "withhold" }]);
  });
});
