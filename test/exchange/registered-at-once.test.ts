/** Envelopes of one house that come at once and name the same documents: each is answered as if one had come behind the other. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeCommand } from "../../formats/command.ts";
import type { DocumentEntry } from "../../formats/document-entry.ts";
import type { Audited } from "../../store/store.ts";
import type { TestExchange } from "../sites.ts";
import { type Asking, openAsking, type Said } from "./asking.ts";
import { documentOf, manifestOf, registration } from "./indexed.ts";

let exchange: TestExchange;
let asking: Asking;
beforeAll(async () => {
  ({ exchange, asking } = await openAsking());
});
afterAll(() => exchange.close());

const [rounds, atOnce] = [6, 4];

/** Sealed first, and posted together. */
async function together(commands: readonly Uint8Array[]): Promise<readonly Said[]> {
  const sealed = await Promise.all(commands.map((command) => asking.seal("hospital-a", "register", command)));
  return await Promise.all(sealed.map((each) => asking.post("hospital-a", "register", each)));
}
const refused = (said: readonly Said[]) => said.flatMap(({ refusal }) => refusal ?? []);
const found = async (uniqueIds: readonly string[]) => {
  const question = { command: "query", query: "getDocuments", uniqueIds, purposeOfUse: "TREAT" };
  const { found: answer } = await asking.ask("hospital-a", "query", Buffer.from(JSON.stringify(question)));
  return (answer?.entries ?? []).map(({ entry, manifestSha256 }) => [entry.uniqueId, manifestSha256]);
};

/** Manifests that the registry's log calls replaced by one of these. */
async function replacedIn(manifests: readonly string[]) {
  const pieces = await Array.fromAsync(await exchange.admin("registry").download("/audit", { reason: "a test" }));
  const entries = Buffer.concat(pieces).toString().trimEnd().split("\n");
  return entries
    .map((line) => JSON.parse(line) as Audited)
    .flatMap(({ event, manifest, subject }) =>
      event === "amendment" && manifests.includes(manifest ?? "") ? [subject] : [],
    );
}

test("a document that several of them name is registered once, and what is beside it as well", async () => {
  for (let round = 0; round < rounds; round += 1) {
    const same = documentOf(`same${round}`);
    const beside = Array.from({ length: atOnce }, (_, n) => documentOf(`beside${round}.${n}`));
    const set = (n: number): string => (round * atOnce + n).toString(16).padStart(32, "0");
    expect(refused(await together(beside.map((each, n) => registration([same, each], set(n)))))).toEqual([]);
    const uniqueIds = [same, ...beside].map(({ uniqueId }) => uniqueId);
    expect((await found(uniqueIds)).map(([uniqueId]) => uniqueId).sort()).toEqual(uniqueIds.sort());
  }
});

test("one that is sealed anew in several of them: the log has each manifest but the last as replaced", async () => {
  const anew = (entry: DocumentEntry, manifestSha256: string): Uint8Array =>
    writeCommand<"register">({
      command: "register",
      submissionSet: "0".repeat(32),
      entries: [{ entry, manifestSha256 }],
    });
  for (let round = 0; round < rounds; round += 1) {
    const entry = documentOf(`anew${round}`);
    await asking.ask("hospital-a", "register", registration([entry]));
    const manifests = Array.from({ length: atOnce }, (_, n) => `${round}${n}`.repeat(32));
    expect(refused(await together(manifests.map((each) => anew(entry, each))))).toEqual([]);
    const [[, last] = []] = await found([entry.uniqueId]);
    expect([...(await replacedIn(manifests)), last].sort()).toEqual([manifestOf(entry.uniqueId), ...manifests].sort());
  }
});
