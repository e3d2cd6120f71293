/** Two houses that agreed on smime-4: records are pushed, receipted and corrected in it, and nothing goes in another profile. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Traced } from "../../commands/journal/trace.ts";
import { profileOf, sealSmime4 } from "../../envelope/index.ts";
import { bytesOf } from "../envelope/people.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { adtFor, cancelFor, cda, chen, mdmFor, sampleMessage } from "../fixtures/documents.ts";
import { dataSetSha256, openExchange, sha256, type TestExchange, testPki, until } from "../sites.ts";
import { type Peer, peerOf } from "./peer.ts";

let exchange: TestExchange;
let peer: Peer;
beforeAll(async () => {
  const pki = await testPki();
  exchange = await openExchange(pki, { RETRY: "100ms" }, (yaml) =>
    yaml
      .replaceAll("route: [repository]", "route: [repository, hospital-b]")
      .replaceAll(/(certificates: "\$\{PKI:pki\}\/hospital-[ab]") \}/g, "$1, profiles: [smime-4] }"),
  );
  peer = peerOf(pki, exchange.env.B_PORT);
});
afterAll(() => exchange.close());

const trace = (id: string): Promise<Traced> => exchange.admin("hospital-a").get<Traced>(`/trace/${id}`);
const spooled = (): readonly string[] => readdirSync(join(exchange.folder, "data", "hospital-b", "spool"));
const has = (event: string, of: Traced): boolean => of.steps.some((step) => step.event === event);

describe("smime-4 between houses", () => {
  test("a report and its study arrive as they were sent, and hospital B's signed proof of delivery comes back", async () => {
    const study = ctStudy({ instancesPerSeries: 2 });
    const message = sampleMessage("mdm-t02-116");
    expect(await exchange.message(message)).toMatchObject({ state: "delivered" });
    await exchange.instances(study.map(({ bytes }) => bytes));
    await until("the document at HIS B", () => exchange.documentsAtB().size === 1);
    await until("the study at PACS B", () => exchange.instancesAtB().size === study.length);
    expect(exchange.instancesAtB()).toEqual(
      new Map(study.map(({ bytes, sopInstanceUid }) => [sopInstanceUid, dataSetSha256(bytes)])),
    );
    const [record] = await exchange.admin("hospital-a").get<readonly { id: string }[]>("/records");
    await until("receipted", async () => has("receipted", await trace(record?.id ?? "")));
    await until("nothing waits in the spool", () => spooled().length === 0);
  });

  test("a correction travels in it too", async () => {
    const report = cda({
      form: "113",
      extension: "S.1",
      patient: chen,
      code: "11502-2",
      display: "x",
      title: "t",
      body: "x",
    });
    await exchange.message(mdmFor(report, { controlId: "S1", name: "DOC1^HIS" }));
    await until("the document at HIS B", () => exchange.documentsAtB().has(sha256(report)));
    await until("receipted", async () => has("receipted", await trace("S1")));
    const before = exchange.log.filter(({ event }) => event === "repository.corrected").length;
    await exchange.message(cancelFor("S2", "DOC1^HIS"));
    await until(
      "hospital B is told",
      () => exchange.log.filter(({ event }) => event === "repository.corrected").length > before,
    );
  });

  test("an addendum that only its message calls so comes to HIS B as one (decision 37)", async () => {
    const report = { form: "113", patient: chen, code: "11502-2", display: "x", title: "t", body: "x" };
    await exchange.message(mdmFor(cda({ ...report, extension: "S.3" }), { controlId: "S3", name: "DOC3^HIS" }));
    const added = { controlId: "S4", event: "MDM^T06^MDM_T02", name: "DOC4^HIS", parent: "DOC3^HIS" };
    await exchange.message(mdmFor(cda({ ...report, extension: "S.4" }), added));
    const { folder } = exchange.receivers.his;
    const events = (): readonly (string | undefined)[] =>
      readdirSync(folder)
        .filter((name) => name.endsWith(".hl7"))
        .map((name) => readFileSync(join(folder, name), "utf8"))
        .filter((message) => message.includes("\\S\\S.4|"))
        .map((message) => message.split("|")[8]?.slice(0, 7));
    await until("the addendum at HIS B", () => events().length === 1);
    expect(events()).toEqual(["MDM^T06"]);
  });

  test("19 semrs-2 is refused of a partner that agreed on smime-4, before any cryptography", async () => {
    const sealed = await peer.push();
    const answer = await peer.post(sealed.headers, await bytesOf(sealed.body()));
    expect(answer).toMatchObject({ status: 415, profile: undefined });
    const reasons = exchange.log.map(({ fields }) => fields.reason ?? "");
    expect(reasons.some((reason) => reason.startsWith("semrs-2 is not what this partner"))).toBe(true);
  });

  test("78 the very same message again gets its receipt again, in smime-4", async () => {
    const sealed = await sealSmime4(await peer.draft(), peer.signer(), new Date());
    const body = await bytesOf(sealed.body());
    const first = await peer.post(sealed.headers, body);
    expect({ status: first.status, profile: profileOf(first.headers) }).toEqual({ status: 201, profile: "smime-4" });
    expect(await peer.post(sealed.headers, body)).toMatchObject({ status: 201, isRepeated: true });
  });

  test("42 a bit changed anywhere tells nothing, and leaves nothing in the spool", async () => {
    const sealed = await sealSmime4(await peer.draft(), peer.signer(), new Date());
    const body = await bytesOf(sealed.body());
    for (const at of [1000, Math.floor(body.length / 2), body.length - 20]) {
      const flipped = Buffer.from(body);
      flipped[at] = (flipped[at] ?? 0) ^ 1;
      const { status, problem } = await peer.post(sealed.headers, flipped);
      expect({ status, problem: problem.replace(/urn:uuid:[0-9a-f-]+/, "") }).toEqual({
        status: 422,
        problem:
          '{"type":"urn:semrs:problem:unopenable","title":"The envelope could not be opened.","status":422,"instance":""}',
      });
    }
    await until("nothing waits in the spool", () => spooled().length === 0);
  });

  test("records are not asked for in it: what hospital B looks up it cannot fetch, and a person is told why", async () => {
    // What was pushed is there already.
    await exchange.admin("hospital-a").post("/stops/hospital-b/pause", { reason: "its line is down" });
    const kept = { extension: "S.9", patient: chen, code: "11502-2", display: "x", title: "t", body: "x" };
    await exchange.message(mdmFor(cda({ form: "113", ...kept }), { controlId: "S9" }));
    await until("registered", async () => (await trace("S9")).records.some(({ state }) => state === "registered"));
    await exchange.message(adtFor(`${chen.national}^^^MOI^NI`, { controlId: "ADT1" }), "B_ADT");
    await until("parked", () =>
      exchange.log.some(
        ({ site, fields }) => site === "hospital-b" && /asked for in no other/.test(fields.reason ?? ""),
      ),
    );
  });
});
