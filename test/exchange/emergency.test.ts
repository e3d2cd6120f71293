/** An access in an emergency waits for a person, who looks at it once: listed, counted, reviewed, audited. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Audited } from "../../store/store.ts";
import { semrs } from "../commands/cli.ts";
import type { TestExchange } from "../sites.ts";
import { type Asking, openAsking } from "./asking.ts";
import { documentOf, registration } from "./indexed.ts";

let exchange: TestExchange;
let asking: Asking;
beforeAll(async () => {
  ({ exchange, asking } = await openAsking());
  await asking.ask("hospital-a", "register", registration([documentOf("one")]));
});
afterAll(() => exchange.close());

const ask = (change: object) => {
  const query = { command: "query", query: "findDocuments", patientIds: [{ root: "1.2", extension: "1" }], ...change };
  return asking.ask("hospital-b", "query", Buffer.from(JSON.stringify(query)));
};
const emergency = (...args: string[]) =>
  semrs(["emergency", ...args, "--config", join(exchange.folder, "registry.yaml")], {
    env: { ...exchange.env, SITE: "registry" },
  });
const review = (id: string, finding = "justified") =>
  emergency("review", id, "--by", "officer Lin", "--finding", finding, "--reason", "seen in the HIS");
const unreviewed = () => exchange.admin("registry").metric("semrs_emergencies_unreviewed");

test("it is listed without its patient, counted, reviewed once, and what was found is in the audit log", async () => {
  expect(await unreviewed()).toBe(0);
  await ask({ purposeOfUse: "TREAT" });
  expect((await ask({ purposeOfUse: "ETREAT" })).refusal?.code).toBe("QUERY_INVALID");
  expect((await ask({ purposeOfUse: "ETREAT", reason: "unconscious" })).found?.entries).toHaveLength(1);
  await ask({ purposeOfUse: "ETREAT", reason: "a second look" });
  expect(await unreviewed()).toBe(2);

  const listed = await emergency("list");
  expect(listed.out).toMatch(/^[0-9a-f]{8} +\S+Z +hospital-b +1 entries +audit \d+ +waits +unconscious\n/);
  expect(listed.err).toMatch(/^2 wait/);
  expect(listed.out).not.toContain("1.2^1");
  const [, short = "", seq = ""] = /^([0-9a-f]{8}).*audit (\d+)/.exec(listed.out) ?? [];

  expect(await review("ffffffff")).toMatchObject({ exit: 65, err: expect.stringContaining("has this id") });
  expect((await review(short, "maybe")).exit).not.toBe(0);
  expect(await review(short)).toMatchObject({ exit: 0, out: expect.stringMatching(/^[0-9a-f]{32} reviewed/) });
  expect(await review(short)).toMatchObject({ exit: 65, err: expect.stringContaining("was reviewed at") });
  expect(await unreviewed()).toBe(1);
  expect((await emergency("list")).out).not.toContain(short);
  expect((await emergency("list", "--all")).out).toMatch(new RegExp(`^${short} .* reviewed 2`, "m"));

  const chunks: Uint8Array[] = [];
  const body = { after: Number(seq) - 1, reason: "review" };
  for await (const chunk of await exchange.admin("registry").download("/audit", body)) chunks.push(chunk);
  const entries = Buffer.concat(chunks)
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as Audited);
  const [access, marked] = ["emergency", "review"].map((event) => entries.find((entry) => entry.event === event));
  expect(access).toMatchObject({
    seq: Number(seq),
    peer: "hospital-b",
    reason: "unconscious",
    patients: [{ ids: ["1.2^1"] }],
  });
  expect(marked).toMatchObject({
    subject: access?.subject,
    peer: "hospital-b",
    code: "JUSTIFIED",
    reason: "officer Lin: seen in the HIS",
  });
  // A restart forgets none of it.
  await exchange.stop("registry");
  await exchange.start("registry");
  expect(await unreviewed()).toBe(1);
});

test("what another house gives as its reason neither writes lines of its own nor moves a terminal", async () => {
  const reason =
    "unconscious\n00000000  2026-01-01T00:00:00Z  hospital-b  reviewed\u001b[1A\u001b[2K\u009b2J\u202e\u007f";
  await ask({ purposeOfUse: "ETREAT", reason });
  const environment = { env: { ...exchange.env, SITE: "registry" } };
  const config = ["--config", join(exchange.folder, "registry.yaml")];
  const shown = [
    await emergency("list", "--all"),
    await emergency("list", "--all", "--json"),
    await semrs(["audit", "list", "--reason", "a test", ...config], environment),
  ];
  for (const { exit, out } of shown) {
    expect(exit).toBe(0);
    expect(out).toContain("unconscious\\");
    expect(out).not.toMatch(/^00000000/m);
    expect(out).not.toMatch(/[[\p{Cc}\p{Bidi_Control}]--\n]/v);
  }
  expect(JSON.parse(shown[1]?.out ?? "")).toContainEqual(expect.objectContaining({ reason }));
});
