/** The journal as a person uses it: list, trace, show, reveal, release, discard, resend, through the admin port. */
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { journalCommand } from "../../commands/journal/index.ts";
import type { Traced } from "../../commands/journal/trace.ts";
import type { SearchPage } from "../../pipeline/search.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { adtFor, cda, chen, lin, mdmFor, sampleMessage } from "../fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { here, root } from "./cli.ts";

let exchange: TestExchange;
const journal = (args: readonly string[]) => here(journalCommand(), root, args);
beforeAll(async () => {
  exchange = await openExchange(await testPki());
});
afterAll(() => exchange.close());

const at = (site: "hospital-a" | "hospital-b", port: string): readonly string[] => [
  "--admin",
  `http://127.0.0.1:${exchange.env[port]}`,
  "--data",
  join(exchange.folder, "data", site),
];
const a = (): readonly string[] => at("hospital-a", "A_ADMIN");
const b = (): readonly string[] => at("hospital-b", "B_ADMIN");
const traceAtA = (id: string): Promise<Traced> => exchange.admin("hospital-a").get<Traced>(`/trace/${id}`);

describe("a record that travelled", () => {
  const study = ctStudy({ instancesPerSeries: 2 });
  beforeAll(async () => {
    await exchange.instances(study.map(({ bytes }) => bytes));
    await exchange.message(sampleMessage("mdm-t02-116"));
    await until("registered", async () => (await traceAtA("S116")).records.some(({ state }) => state === "registered"));
    await exchange.message(sampleMessage("adt-a01"), "B_ADT");
    await until("proof of delivery at A", async () =>
      (await traceAtA("S116")).steps.some(({ event }) => event === "receipted"),
    );
  });

  test("a state is a search, too, where nothing else is asked for; one that there is not is told with those that there are", async () => {
    for (const [state, exit, says] of [
      ["done", 0, / done +S116 /],
      ["accepted", 0, /^nothing has it$/m],
      ["finished", 64, /Allowed choices are waiting, held, .*accepted, done/],
    ] as const) {
      const ran = await journal(["list", "--state", state, ...a()]);
      expect(`${ran.out}${ran.err}`).toMatch(says);
      expect(ran.exit).toBe(exit);
    }
  });
  test("what a site does not take is told on one line, with where it stands", async () => {
    const { exit, err } = await journal(["list", "--limit", "0", ...a()]);
    expect({ exit, err }).toEqual({ exit: 64, err: expect.stringMatching(/^semrs journal list: limit: [^\n]+\n$/) });
  });
  test("trace by control id tells the way from source A to what HIS B and PACS B answered", async () => {
    const { exit, out } = await journal(["trace", "S116", ...a()]);
    expect(exit).toBe(0);
    expect(out).toMatch(/document 116, \d+ octets, sha256 [0-9a-f]{16}…/);
    const told = (await traceAtA("S116")).steps.map(({ station, event }) => `${station} ${event}`);
    expect(told).toEqual([
      "source received",
      "validate validated",
      "source accepted",
      "assemble assembled",
      "seal sealed",
      "route provided",
      "route registered",
      "repository released",
      "repository receipted",
    ]);
    expect(out).toMatch(/assembled\s+4 instances · [\d.]+ m?s/);
    expect(out).toMatch(/receipted\s+hospital-b · (his AA, pacs 4 × 0000|pacs 4 × 0000, his AA)/);
    expect(out).not.toContain("陳");
  });

  test("list with a number of a patient or a study finds what came of it, page by page, at both houses; nobody else's does", async () => {
    const first = await journal(["list", "--accession", "ACC20260116", "--limit", "1", "--json", ...a()]);
    const { found, next } = JSON.parse(first.out) as SearchPage;
    expect(found).toMatchObject([{ kind: "arrival", channel: "imaging", state: "done" }]);
    const rest = await journal(["list", "--accession", "ACC20260116", "--after", String(next), ...a()]);
    expect(rest.out).toMatch(/^[0-9a-f]{32} +\S+Z +done +\S+ +pacs +imaging/m);
    expect((await journal(["list", "--patient", chen.national, ...a()])).out).toMatch(/done +S116 +his +imaging/);
    expect((await journal(["list", "--control-id", "S116", ...a()])).out).toMatch(/done +S116 +his +imaging/);
    expect((await journal(["list", "--patient", chen.national, ...b()])).out).toMatch(/record +hospital-a/);
    expect((await journal(["list", "--patient", lin.national, ...a()])).out).toBe("nothing has it\n");
  });

  test("what is read needs a reason", async () => {
    expect(await journal(["show", "S116", "--reveal", ...a()])).toMatchObject({
      exit: 64,
      out: "",
      err: expect.stringContaining("--reveal needs --reason"),
    });
  });
  test("the last digits of any id of the family give the same timeline; --json prints it", async () => {
    const whole = await traceAtA("S116");
    const record = whole.records[0]?.id ?? "";
    const { out } = await journal(["trace", record.slice(-8), "--json", ...a()]);
    expect((JSON.parse(out) as Traced).steps).toEqual(whole.steps);
    const image = whole.instances;
    expect(image).toEqual({ sealed: 4 });
  });

  test("house B tells its half: opened, and each system's answer", async () => {
    const [record = ""] = (await traceAtA("S116")).records.map(({ id }) => id);
    const { out } = await journal(["trace", record, ...b()]);
    expect(out).toMatch(/open\s+opened\s+hospital-a · 5 parts, signatures verified/);
    expect(out).toMatch(/deliver\s+delivered\s+his · AA/);
    expect(out).toMatch(/deliver\s+delivered\s+pacs · 4 × 0000/);
  });

  test("resend delivers to PACS B again what it has taken", async () => {
    const [record = ""] = (await traceAtA("S116")).records.map(({ id }) => id);
    const before = await exchange.admin("hospital-b").get<Traced>(`/trace/${record}`);
    const delivery = before.deliveries.find(({ kind }) => kind === "study")?.id ?? "";
    const { exit, out } = await journal(["resend", delivery, "--reason", "PACS B was restored", ...b()]);
    expect(exit).toBe(0);
    expect(out).toMatch(/^[0-9a-f]{32} queued$/m);
    await until("delivered again", async () => {
      const { steps } = await exchange.admin("hospital-b").get<Traced>(`/trace/${record}`);
      return steps.filter(({ event, detail }) => event === "delivered" && detail === "4 × 0000").length === 2;
    });
  });
});

describe("what waits for a person", () => {
  test.each([
    ["--state", "refused"],
    ["--patient", "A123456789"],
    ["--from", "2026-11-01"],
  ])("list --held with %s is refused: it was listed without the one or the other", async (...more) =>
    expect(await journal(["list", "--held", ...more, ...a()])).toMatchObject({
      exit: 64,
      err: expect.stringContaining("--held is a list of its own"),
    }),
  );
  test("list --held says why and what to do; release and discard end it", async () => {
    const wrong = mdmFor(
      cda({ form: "113", extension: "HELD.1", patient: chen, code: "11502-2", display: "x", title: "t", body: "" }),
      {
        controlId: "HELD1",
      },
    );
    await exchange.message(wrong);
    const changed = mdmFor(
      cda({ form: "113", extension: "HELD.1", patient: chen, code: "11502-2", display: "y", title: "t", body: "" }),
      {
        controlId: "HELD2",
      },
    );
    await exchange.message(changed);
    const listed = await journal(["list", "--held", ...a()]);
    expect(listed.out).toMatch(/held .* document in documents\s+DOCUMENT_CONFLICT/);
    expect(listed.out).toMatch(/→ A correction needs its own id/);
    const [, id = ""] = /^([0-9a-f]{8}) .*held/m.exec(listed.out) ?? [];
    const without = await journal(["discard", id, ...a()]);
    expect(without).toMatchObject({ exit: 64 });
    const discarded = await journal(["discard", id, "--reason", "sent twice by mistake", ...a()]);
    expect(discarded.exit).toBe(0);
    expect((await journal(["list", "--held", ...a()])).out).toMatch(/nothing waits/);
    expect((await traceAtA(id)).steps).toContainEqual(
      expect.objectContaining({ station: "admin", event: "discarded", detail: "sent twice by mistake" }),
    );
    expect((await journal(["release", id, "--reason", "x", ...a()])).exit).toBe(65);
    for (const named of [id, "HELD2"])
      expect(await journal(["resend", named, "--reason", "x", ...a()])).toMatchObject({
        exit: 65,
        err: expect.stringMatching(/it was discarded: .* under a new control id/),
      });
  });

  test("a refused message is quarantined and listed; its payload is read with a reason, and that is kept", async () => {
    const broken = mdmFor(Buffer.from("<ClinicalDocument"), { controlId: "BROKEN1" });
    expect(await exchange.message(broken)).toMatchObject({ state: "refused", detail: "AE 102" });
    const listed = await journal(["list", "--state", "refused", ...a()]);
    expect(listed.out).toMatch(/BROKEN1 from his\s+CDA_INVALID/);
    expect((await journal(["show", "BROKEN1", "--reveal", ...a()])).exit).toBe(64);
    const { exit, out } = await journal(["show", "BROKEN1", "--reveal", "--reason", "asked by the HIS vendor", ...a()]);
    expect(exit).toBe(0);
    expect(out).toBe(Buffer.from(broken).toString());
    expect((await traceAtA("BROKEN1")).steps).toContainEqual(
      expect.objectContaining({ event: "revealed", detail: "asked by the HIS vendor" }),
    );
    expect(
      exchange.log.some(
        ({ event, fields }) => event === "admin.revealed" && fields.reason === "asked by the HIS vendor",
      ),
    ).toBe(true);
  });

  test("a filtered message goes through its channel again", async () => {
    await exchange.message(adtFor(`${lin.national}^^^MOI^NI`, { controlId: "FILTERED1" }));
    expect((await traceAtA("FILTERED1")).arrivals[0]).toMatchObject({ state: "filtered", code: "NO_CHANNEL" });
    const { out } = await journal(["resend", "FILTERED1", "--reason", "channel widened", ...a()]);
    expect(out).toMatch(/filtered$/m);
  });
});

describe("who may ask", () => {
  test("without the token nothing is told", async () => {
    for (const path of ["/journal", "/trace/S116", "/records", "/counts"]) {
      const response = await fetch(`http://127.0.0.1:${exchange.env.A_ADMIN}${path}`);
      expect([response.status, await response.json()]).toMatchObject([401, { code: "NOT_PERMITTED" }]);
    }
  });
  test("an id that nobody has, and a site that does not run, are said", async () => {
    expect(await journal(["trace", "deadbeef", ...a()])).toMatchObject({
      exit: 65,
      err: expect.stringContaining("nothing here has this id"),
    });
    expect(await journal(["list", "--admin", "http://127.0.0.1:9", "--data", a()[3] ?? ""])).toMatchObject({
      exit: 69,
      err: expect.stringContaining("is it running?"),
    });
  });
});
