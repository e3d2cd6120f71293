/** Runs one test: fresh houses, what is sent, and what became of it, looked at until it holds or its time is over. */
import { readFileSync } from "node:fs";
import { dirname, resolve } from "node:path";
import { Fault } from "../../errors.ts";
import { readMsh } from "../../formats/hl7.ts";
import type { Config } from "../../pipeline/config.ts";
import { passingFolder } from "../whole.ts";
import { foundInClear } from "./clear.ts";
import { answerDifferences, type Difference, deliveryDifferences, factDifferences } from "./compare.ts";
import { decidedBy } from "./decide.ts";
import { type Facts, factsOf } from "./facts.ts";
import { setFields } from "./fields.ts";
import { type House, type Houses, openHouses } from "./houses.ts";
import { openReferenced, type Referenced } from "./referenced.ts";
import type { Sending, Test, TestFile } from "./schema.ts";
import { type Sent, sendAll } from "./send.ts";

/** How a test ended: what differs, each with the line that decided. */
export type Result = { readonly name: string; readonly failures: readonly string[]; readonly ms: number };

const lookMs = 50;
const quietMs = 400;

/** A test, and how long nothing may move before one that expects nothing more is over. */
export type Patient = Test & { readonly quiet: number };
export const patient = (test: Test, times: number): Patient => {
  return { ...test, within: test.within * times, quiet: quietMs * times };
};

export async function runTest(
  test: Patient,
  file: TestFile,
  path: string,
  configs: readonly Config[],
  pki: string,
): Promise<Result> {
  const started = performance.now();
  using folder = passingFolder("semrs-test-");
  const referenced = await openReferenced(test.referenced, dirname(path));
  try {
    const houses = await openHouses(configs, pki, folder.path, file.times, referenced.at);
    try {
      const failures = await outcome(test, file, path, configs, houses, referenced);
      return { name: test.name, failures, ms: Math.round(performance.now() - started) };
    } finally {
      await houses.close();
    }
  } finally {
    referenced.stop();
  }
}

async function outcome(
  test: Patient,
  file: TestFile,
  path: string,
  configs: readonly Config[],
  houses: Houses,
  referenced: Referenced,
): Promise<readonly string[]> {
  const site = test.site ?? file.site ?? configs[0]?.site ?? "";
  const full = (system: string): string => (system.includes("/") ? system : `${site}/${system}`);
  const sent: Sent = { documents: new Set(), instances: new Map() };
  const differences: Difference[] = [];
  const subjects: string[] = [];
  let first: Sending | undefined;
  for (const step of test.send) {
    const [where = "", system = ""] = full(step.to).split("/");
    const answers = await sendAll(step, system, houseOf(houses, where), dirname(path), sent, referenced);
    differences.push(...answerDifferences(step, answers));
    if (where === site) {
      first ??= step;
      subjects.push(...answers.map(({ controlId }) => controlId));
    }
    // What follows is sent once this is settled: an admission finds what was registered before it.
    await settled(houses, test.within, test.quiet);
  }
  const house = houseOf(houses, site);
  const end = performance.now() + test.within;
  for (;;) {
    await settled(houses, Math.max(0, end - performance.now()), test.quiet);
    const facts = await factsOf(house, subjects);
    const found = [
      ...factDifferences(test.expect, facts),
      ...deliveryDifferences(test.expect.delivered, houses.receivers, sent, full),
    ];
    const mayChange = found.length > 0 ? !found.some(({ isFinal }) => isFinal) : hasWaiting(facts);
    if (differences.length === 0 && mayChange && performance.now() < end) continue;
    const clear = test.expect.neverInClear ? await foundInClear(houses, test.expect.neverInClear) : [];
    const about = senderOf(first, path, house, full);
    return [...differences, ...found]
      .map((each) => told(each, facts, about, houses, test.within))
      .concat(clear.map((each) => `neverInClear: ${each}`));
  }
}

/** It is sealed, or held, once its study came or did not: only then is nothing more to come. */
const hasWaiting = ({ family }: Facts): boolean =>
  family.items.some(({ kind, state }) => kind === "document" && state === "waiting");

function told(
  difference: Difference,
  facts: Facts,
  sender: ReturnType<typeof senderOf>,
  { houses }: Houses,
  within: number,
): string {
  const decision = decidedBy(difference, facts, sender, houses);
  const waited = difference.about === "delivered" && !difference.isFinal ? ` in ${within / 1000} s` : "";
  if (!decision) return `${difference.text}${waited}`;
  const code = facts.family.arrivals[0]?.code ?? facts.held;
  return `${difference.text}${waited}; ${decision.what}${code ? ` (${code})` : ""} at ${decision.config.placeOf(decision.path)} ${decision.path.map(String).join(".")}`;
}

/** Who sent the first thing, and what MSH says of it. */
function senderOf(first: Sending | undefined, path: string, house: House, full: (system: string) => string) {
  const [, system = ""] = full(first?.to ?? "his").split("/");
  try {
    const [file = ""] = first?.files ?? [];
    const { messageType, processingId } = readMsh(
      setFields(readFileSync(resolve(dirname(path), file)), first?.set ?? {}),
    );
    return { house, system, messageType, processingId };
  } catch {
    return { house, system, messageType: "", processingId: "" };
  }
}

/** Waits until nothing moves at any house, or the time is over. */
async function settled({ houses }: Houses, ms: number, quiet: number): Promise<void> {
  const end = performance.now() + ms;
  let [before, since] = ["", performance.now()];
  while (performance.now() < end) {
    const counts = [...houses.values()].map(({ started: { store } }) => store.scans.counts());
    const now = JSON.stringify(await Promise.all(counts));
    if (now !== before) [before, since] = [now, performance.now()];
    if (performance.now() - since > quiet) return;
    await new Promise((resolve) => setTimeout(resolve, lookMs));
  }
}

function houseOf({ houses }: Houses, site: string): House {
  const house = houses.get(site);
  if (!house) throw new Fault("CONFIG_INVALID", `there is no site ${site}; there is ${[...houses.keys()].join(", ")}`);
  return house;
}
