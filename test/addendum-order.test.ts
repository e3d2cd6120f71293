/** A report and its addendum that a house asks for at once: the report comes first, and so it goes to HIS B. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { adtFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import { openExchange, testPki, until } from "./sites.ts";

const report = (extension: string): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });

test("addenda are asked for once what they append to is here", async () => {
  const exchange = await openExchange(await testPki(), { RETRY: "100ms" });
  try {
    const add = async (n: number, event: string): Promise<void> => {
      const parent = n > 1 ? { parent: `DOC${n - 1}^HIS` } : {};
      const names = { controlId: `M${n}`, event, name: `DOC${n}^HIS`, ...parent };
      await exchange.message(mdmFor(report(`ADDED.${n}`), names));
      await exchange.registered(n);
    };
    await add(1, "MDM^T02^MDM_T02");
    await add(2, "MDM^T06^MDM_T02");
    await add(3, "MDM^T06^MDM_T02");
    await exchange.message(adtFor(`${chen.national}^^^MOI^NI`), "B_ADT");
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
