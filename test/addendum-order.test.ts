/** A report and its addenda that a house asks for: the report comes first, and so it goes to HIS B. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { adtFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import { openExchange, testPki, until } from "./sites.ts";

const report = (extension: string): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });

test.each([
  ["one answer names them", [3]],
  ["an answer each names them", [1, 2, 3]],
])("addenda are asked for once what they append to is here: %s", async (_how, admittedAfter) => {
  const exchange = await openExchange(await testPki(), { RETRY: "100ms", AGAIN_1: "1h", AGAIN_2: "1h", AGAIN_3: "1h" });
  const b = exchange.admin("hospital-b");
  try {
    await b.post("/stops/hospital-a/pause", { reason: "its line is down" });
    const add = async (n: number, event: string): Promise<void> => {
      const parent = n > 1 ? { parent: `DOC${n - 1}^HIS` } : {};
      const names = { controlId: `M${n}`, event, name: `DOC${n}^HIS`, ...parent };
      await exchange.message(mdmFor(report(`ADDED.${n}`), names));
      await exchange.registered(n);
      if (!admittedAfter.includes(n)) return;
      const controlId = `ADT${n}`;
      await exchange.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId }), "B_ADT");
      const isAnswered = async (): Promise<boolean> =>
        (await b.get<Traced>(`/trace/${controlId}`)).steps.some(({ event }) => event === "answered");
      await until("answered", isAnswered);
    };
    await add(1, "MDM^T02^MDM_T02");
    await add(2, "MDM^T06^MDM_T02");
    await add(3, "MDM^T06^MDM_T02");
    await b.post("/stops/hospital-a/resume", { reason: "it is up" });
    const { folder } = exchange.receivers.his;
    const types = (): readonly (string | undefined)[] =>
      readdirSync(folder)
        .filter((name) => name.endsWith(".hl7"))
        .map((name) => readFileSync(join(folder, name), "utf8").split("|")[8]?.slice(0, 7))
        .toSorted();
    await until("all are at HIS B", () => types().length === 3);
    expect(types()).toEqual(["MDM^T02", "MDM^T06", "MDM^T06"]);
    const retrievals = exchange.log.filter(
      ({ site, event }) => site === "hospital-b" && (event === "fetch.requested" || event === "open.opened"),
    );
    expect(retrievals.map(({ event }) => event)).toEqual([1, 2, 3].flatMap(() => ["fetch.requested", "open.opened"]));
  } finally {
    await exchange.close();
  }
});
