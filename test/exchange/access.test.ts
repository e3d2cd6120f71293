/** Who is told of an entry: by house, form, purpose of use, consent, and what an emergency changes. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startSite } from "../../commands/start-site.ts";
import { type AccessRule, accessOf, type ConsentFacts, endedBy } from "../../exchange/access.ts";
import { tokenOf } from "../../exchange/patients.ts";
import { answerQuery } from "../../exchange/queries.ts";
import { readCommand, writeCommand } from "../../formats/command.ts";
import type { Found, PatientId } from "../../formats/query.ts";
import { loadConfig } from "../../pipeline/config.ts";
import { openStore } from "../../store/index.ts";
import type { Store } from "../../store/store.ts";
import type { TestExchange } from "../sites.ts";
import { type Asking, openAsking } from "./asking.ts";
import { documentOf, enter, registration } from "./indexed.ts";

describe("rules and consents", () => {
  let store: Store;
  beforeAll(async () => {
    const folder = mkdtempSync(join(tmpdir(), "semrs-access-"));
    store = await openStore({ folder, key: Buffer.alloc(32, 5), now: () => new Date() });
  });
  afterAll(() => store.close());

  const id = (extension: string): PatientId => ({ root: "1.2", extension });
  const everything: readonly AccessRule[] = [{ purposes: ["TREAT", "ETREAT"] }];
  const ask = (query: object, rules = everything, org = "hospital-b"): Found => {
    const command = readCommand(
      "query",
      Buffer.from(JSON.stringify({ command: "query", purposeOfUse: "TREAT", ...query })),
    );
    return answerQuery(store, org, command, accessOf(store, rules, org, command));
  };
  const names = ({ entries }: Found): readonly string[] => entries.map(({ entry }) => entry.uniqueId.slice(6)).sort();
  const withhold = (patient: string, facts: Partial<ConsentFacts> = {}, decision: "withhold" | "share" = "withhold") =>
    store.commit(
      store.consents.add({
        id: store.newId(),
        patient: tokenOf(store, id(patient)),
        org: "hospital-a",
        at: "2026",
        facts: { decision, ...facts },
      }),
    );
  const documents = (patient: string) =>
    ["113", "114", null].map((form) =>
      documentOf(`${patient}-${form ?? "other"}`, {
        form,
        patientIds: [id(patient)],
        referenceIdList: [`ACC-${patient}`],
      }),
    );
  const find = (patient: string) => ({ query: "findDocuments", patientIds: [id(patient)] });

  test.each<[string, readonly AccessRule[], string, readonly string[]]>([
    ["all", everything, "hospital-b", ["r-113", "r-114", "r-other"]],
    ["forms of a rule", [{ forms: ["113", "other"], purposes: ["TREAT"] }], "hospital-b", ["r-113", "r-other"]],
    [
      "rules are OR",
      [
        { orgs: ["hospital-b"], forms: ["113"], purposes: ["TREAT"] },
        { forms: ["114"], purposes: ["TREAT"] },
      ],
      "hospital-b",
      ["r-113", "r-114"],
    ],
    [
      "its own, whatever the forms",
      [{ forms: ["121"], purposes: ["TREAT"] }],
      "hospital-a",
      ["r-113", "r-114", "r-other"],
    ],
  ])("%s", async (_what, rules, org, expected) => {
    await enter(store, documents("r"));
    expect(names(ask(find("r"), rules, org))).toEqual(expected);
  });

  test.each<[string, readonly AccessRule[], object]>([
    ["another house", [{ orgs: ["hospital-c"], purposes: ["TREAT"] }], {}],
    ["another purpose", everything, { purposeOfUse: "PUBHLTH" }],
    ["an emergency that is not allowed", [{ purposes: ["TREAT"] }], { purposeOfUse: "ETREAT", reason: "unconscious" }],
  ])("NOT_PERMITTED: a rule for %s", (_what, rules, query) => {
    expect(() => ask({ ...find("r"), ...query }, rules)).toThrow(expect.objectContaining({ code: "NOT_PERMITTED" }));
  });

  test("what is withheld is in no answer to any question but in an emergency with a reason", async () => {
    await enter(store, [
      ...documents("c"),
      documentOf("c-second", { patientIds: [id("c")], relatedDocuments: [{ type: "APND", uniqueId: "1.2.3^c-113" }] }),
    ]);
    const questions = [
      find("c"),
      { query: "findDocumentsByReferenceId", patientIds: [id("c")], referenceIds: ["ACC-c"] },
      { query: "getDocuments", uniqueIds: ["1.2.3^c-113"] },
      { query: "getAssociations", uniqueIds: ["1.2.3^c-113"] },
      { query: "getRelatedDocuments", uniqueId: "1.2.3^c-113" },
      { query: "findSubmissionSets", patientIds: [id("c")] },
      {
        query: "getSubmissionSetAndContents",
        id: ask({ query: "findSubmissionSets", patientIds: [id("c")] }).submissionSets[0]?.id,
      },
    ];
    const told = (query: object): number => {
      const { submissionSets, entries, associations } = ask(query);
      return submissionSets.length + entries.length + associations.length;
    };
    for (const each of questions) expect(told(each), each.query).toBeGreaterThan(0);
    await withhold("c");
    for (const each of questions) expect(told(each), each.query).toBe(0);
    const urgent = { purposeOfUse: "ETREAT", reason: "unconscious" };
    for (const each of questions) expect(told({ ...each, ...urgent }), each.query).toBeGreaterThan(0);
    expect(() => ask({ ...find("c"), purposeOfUse: "ETREAT" })).toThrow(
      expect.objectContaining({ code: "QUERY_INVALID" }),
    );
  });

  test("a set of several patients is found by those alone of whom who asks may see something in it", async () => {
    const documents = ["e", "f"].map((each) => documentOf(`${each}-together`, { patientIds: [id(each)] }));
    await enter(store, documents);
    await withhold("e");
    const sets = (patient: string) => ask({ query: "findSubmissionSets", patientIds: [id(patient)] }).submissionSets;
    expect(sets("e")).toEqual([]);
    expect(sets("f")).toHaveLength(1);
  });

  test("the last consent for a house and a form decides, under every id of the patient", async () => {
    await enter(store, documents("d"));
    await withhold("d", { forms: ["113"] });
    await withhold("d", { orgs: ["hospital-c"] });
    expect(names(ask(find("d")))).toEqual(["d-114", "d-other"]);
    expect(names(ask(find("d"), everything, "hospital-c"))).toEqual([]);
    await withhold("d", {}, "share");
    expect(names(ask(find("d"), everything, "hospital-c"))).toHaveLength(3);
    await withhold("d2");
    expect(names(ask(find("d")))).toHaveLength(3);
    const merge = { prior: id("d"), surviving: id("d2") };
    const tokens = { prior: tokenOf(store, merge.prior), surviving: tokenOf(store, merge.surviving) };
    await store.commit(store.merges.add({ ...tokens, at: "2026", facts: merge }));
    expect(names(ask(find("d")))).toEqual([]);
    expect(names(ask(find("d"), everything, "hospital-a"))).toHaveLength(3);
  });

  test("an id has as many consents as decide something, up to a limit; one of all always has a place", async () => {
    const patient = tokenOf(store, id("g"));
    const tell = (forms?: readonly string[]) => {
      const facts: ConsentFacts = { decision: "share", ...(forms ? { forms: [...forms] } : {}) };
      const row = { id: store.newId(), patient, org: "hospital-a", at: "2026", facts };
      return store.commit(store.consents.add(row, endedBy(store, patient, facts)));
    };
    const standing = () => store.consents.of([patient]).length;
    // As they were kept before one ended another.
    const forms = Array.from({ length: 255 }, (_, n) => [`f${n}`]);
    for (const each of [...forms, ...forms]) await withhold("g", { forms: each });
    await tell(["f1"]);
    expect(standing()).toBe(255);
    await tell(["f255"]);
    expect(() => tell(["f256"])).toThrow(expect.objectContaining({ code: "TOO_LARGE" }));
    await tell(["f1", "f2", "f3"]);
    expect(standing()).toBe(254);
    await tell();
    expect(standing()).toBe(1);
  });

  test("a page of sets ends once as many of their entries were looked at as one page may, and goes on", async () => {
    await enter(store, [documentOf("h-seen", { form: "114", patientIds: [id("h")] })]);
    for (let set = 0; set < 26; set += 1)
      await enter(
        store,
        Array.from({ length: 200 }, (_, n) => documentOf(`h-${set}-${n}`, { form: "113", patientIds: [id("h")] })),
      );
    await withhold("h", { forms: ["113"] });
    const query = { query: "findSubmissionSets", patientIds: [id("h")] };
    const first = ask(query);
    expect(first.submissionSets).toEqual([]);
    const { submissionSets, next } = ask({ ...query, cursor: first.next });
    expect(submissionSets).toHaveLength(1);
    expect(next).toBeNull();
  });
});

describe("over the wire", () => {
  let exchange: TestExchange;
  let asking: Asking;
  beforeAll(async () => {
    ({ exchange, asking } = await openAsking());
  });
  afterAll(() => exchange.close());

  test("a consent is told by who gives the id; an emergency is one in the log; a refusal is signed", async () => {
    const patientIds = [{ root: "2.16.886.104.100565", extension: "7" }];
    await asking.ask("hospital-a", "register", registration([documentOf("wire", { patientIds })]));
    const consent = writeCommand<"change">({ command: "change", action: "consent", patientIds, decision: "withhold" });
    expect((await asking.ask("hospital-b", "change", consent)).refusal?.code).toBe("NOT_PERMITTED");
    const query = { command: "query", query: "findDocuments", patientIds, purposeOfUse: "TREAT" };
    const found = async (change: object = {}) => {
      const said = await asking.ask("hospital-b", "query", Buffer.from(JSON.stringify({ ...query, ...change })));
      return said.refusal?.code ?? said.found?.entries.length;
    };
    expect(await found()).toBe(1);
    expect((await asking.ask("hospital-a", "change", consent)).status).toBe(200);
    expect(await found()).toBe(0);
    expect(await found({ purposeOfUse: "PUBHLTH" })).toBe("NOT_PERMITTED");
    expect(exchange.log.some(({ event }) => event === "registry.emergency")).toBe(false);
    expect(await found({ purposeOfUse: "ETREAT", reason: "unconscious" })).toBe(1);
    expect(exchange.log.filter(({ event }) => event === "registry.emergency")).toMatchObject([
      { site: "registry", level: "warn", fields: { peer: "hospital-b", count: 1 } },
    ]);
  });

  test("what the registry's configuration allows binds it while it runs: house, form and purpose, and each refusal is signed", async () => {
    const patientIds = [{ root: "2.16.886.104.100565", extension: "9" }];
    const documents = ["113", "114"].map((form) => documentOf(`rule-${form}`, { form, patientIds }));
    await asking.ask("hospital-a", "register", registration(documents));
    const found = async (org: string, purposeOfUse: string, change: object = {}) => {
      const query = { command: "query", query: "findDocuments", patientIds, purposeOfUse, ...change };
      const { refusal, found: answer } = await asking.ask(org, "query", Buffer.from(JSON.stringify(query)));
      return refusal?.code ?? answer?.entries.map(({ entry }) => entry.form);
    };
    expect(await found("hospital-b", "TREAT")).toEqual(["114", "113"]);

    await exchange.stop("registry");
    const file = join(exchange.folder, "closed.yaml");
    const rules = '[{ orgs: [hospital-b], forms: ["113"], purposes: [TREAT] }, { purposes: [COC] }]';
    const open = readFileSync(join(exchange.folder, "registry.yaml"), "utf8");
    const closed = open.replace(/registry: \{ listen: "[^"]*"/, `$&, access: ${rules}`);
    expect(closed).not.toBe(open);
    writeFileSync(file, closed);
    const { stop } = await startSite(loadConfig(file, { ...exchange.env, SITE: "registry" }), () => undefined);
    try {
      expect(await found("hospital-b", "TREAT")).toEqual(["113"]);
      expect(await found("hospital-b", "COC")).toEqual(["114", "113"]);
      expect(await found("hospital-a", "TREAT")).toBe("NOT_PERMITTED");
      expect(await found("hospital-b", "ETREAT", { reason: "unconscious" })).toBe("NOT_PERMITTED");
    } finally {
      await stop();
    }
    await exchange.start("registry");
  });

  test("of consents that a house tells those stand that decide something", async () => {
    const patientIds = [{ root: "2.16.886.104.100565", extension: "8" }];
    const tell = async (decision: "withhold" | "share", facts: Partial<ConsentFacts> = {}) => {
      const command = { command: "change", action: "consent", patientIds, decision, ...facts } as const;
      expect((await asking.ask("hospital-a", "change", writeCommand<"change">(command))).status).toBe(200);
    };
    const db = new DatabaseSync(join(exchange.folder, "data", "registry", "semrs.db"), { readOnly: true });
    const standing = () => Number(db.prepare("SELECT count(*) AS n FROM consent").get()?.n);
    const before = standing();
    for (const decision of ["withhold", "share", "withhold"] as const) {
      await tell(decision, { orgs: ["hospital-b"] });
      await tell(decision, { orgs: ["hospital-b", "hospital-b"], forms: ["113"] });
    }
    expect(standing()).toBe(before + 2);
    await tell("share");
    expect(standing()).toBe(before + 1);
    db.close();
  });
});
