/** What an author tells of a document ahead of it (decision 37): when it counts, whose it has to be, and what it may say. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { contentOf } from "../../envelope/index.ts";
import { readCda } from "../../formats/cda.ts";
import { commandMediaType } from "../../formats/command.ts";
import { openRetention } from "../../pipeline/retention.ts";
import type { Site } from "../../pipeline/site.ts";
import { openStore } from "../../store/index.ts";
import { bytesOf, contentFrom } from "../envelope/people.ts";
import { sha256, until } from "../sites.ts";
import type { Answer } from "./peer.ts";
import { exchange, peer, pki, report, twoAuthors } from "./two-authors.ts";

twoAuthors();

const idOf = (name: string): string => readCda(report(name)).uniqueId;
const relationOf = (name: string, type: string, of: string): unknown => ({
  command: "relation",
  uniqueId: idOf(name),
  relatedDocument: { type, uniqueId: idOf(of) },
});
async function tell(command: unknown, sender = "hospital-a"): Promise<Answer> {
  const content = [await contentOf(Buffer.from(JSON.stringify(command)), "command", commandMediaType)];
  const message = sha256(Buffer.from(`${performance.now()}`)).slice(0, 32);
  const sealed = await peer.push(
    { sender, message, purpose: "notify", messageType: "relation", content },
    join(pki, sender),
  );
  const to = { path: "/repository/relations", as: join(pki, sender) };
  return await peer.post(sealed.headers, await bytesOf(sealed.body()), to);
}
/** Resolves once HIS B has it. */
async function push(name: string, sender = "hospital-a"): Promise<void> {
  const content = [await contentFrom(report(name), "cda")];
  const message = sha256(Buffer.from(`${sender} ${name}`)).slice(0, 32);
  const sealed = await peer.push({ sender, message, content }, join(pki, sender));
  const answer = await peer.post(sealed.headers, await bytesOf(sealed.body()), { as: join(pki, sender) });
  expect(answer).toMatchObject({ status: 201 });
  await until(`${name} at HIS B`, () => atHisB(name).length > 0);
}
/** Event and TXA-13 of what HIS B took of a document. */
const atHisB = (name: string): readonly string[] =>
  readdirSync(exchange.receivers.his.folder)
    .filter((file) => file.endsWith(".hl7"))
    .map((file) => readFileSync(join(exchange.receivers.his.folder, file), "utf8"))
    .flatMap((message) => {
      const txa = /\rTXA\|([^\r]*)/.exec(message)?.[1]?.split("|") ?? [];
      const [own, parent] = [txa[11], txa[12]].map((field = "") => field.split("\\S\\").at(-1) ?? "");
      return own === name ? [`${message.split("|")[8]?.slice(4, 7)} ${parent}`.trim()] : [];
    });
const isForeign = (): number => exchange.log.filter(({ event }) => event === "open.unrelated").length;

test("an addendum that is here before its report: both come as what they are", async () => {
  expect(await tell(relationOf("ADDED", "APND", "REPORT"))).toMatchObject({ status: 204 });
  await push("ADDED");
  await push("REPORT");
  expect([atHisB("ADDED"), atHisB("REPORT")]).toEqual([["T06 REPORT"], ["T02"]]);
});

test("a replacement that is here before what it replaces: that does not go to a HIS after it", async () => {
  await tell(relationOf("NEWER", "RPLC", "OLDER"));
  await push("NEWER");
  const content = [await contentFrom(report("OLDER"), "cda")];
  const sealed = await peer.push({ content });
  expect(await peer.post(sealed.headers, await bytesOf(sealed.body()))).toMatchObject({ status: 201 });
  // Of one patient, it comes behind what came before.
  await push("AFTER");
  expect([atHisB("NEWER"), atHisB("OLDER")]).toEqual([["T10 OLDER"], []]);
});

test("told twice, the last counts, and once: it is used up", async () => {
  await push("FIRST");
  await tell(relationOf("TWICE", "RPLC", "FIRST"));
  await tell(relationOf("TWICE", "APND", "FIRST"));
  await push("TWICE");
  expect(atHisB("TWICE")).toEqual(["T06 FIRST"]);
});

test("told after the record it changes nothing of it", async () => {
  await push("BEFORE");
  await push("EARLY");
  expect(await tell(relationOf("EARLY", "RPLC", "BEFORE"))).toMatchObject({ status: 204 });
  await push("NEXT");
  expect(atHisB("EARLY")).toEqual(["T02"]);
});

test("of another house's document it counts for nothing, and whoever tells it learns nothing", async () => {
  await push("THEIRS");
  const before = isForeign();
  // The document is another's, or what it is about.
  expect(await tell(relationOf("THEIRS", "RPLC", "OURS"), "registry")).toMatchObject({
    status: 204,
    body: Buffer.alloc(0),
  });
  expect(await tell(relationOf("OURS", "RPLC", "THEIRS"), "registry")).toMatchObject({
    status: 204,
    body: Buffer.alloc(0),
  });
  expect(isForeign() - before).toBe(2);
  await push("OURS", "registry");
  expect(atHisB("OURS")).toEqual(["T02"]);
  // What it is about becomes another's before it comes.
  await tell(relationOf("OUR NEXT", "APND", "THEIR NEXT"), "registry");
  await push("THEIR NEXT");
  await push("OUR NEXT", "registry");
  expect(atHisB("OUR NEXT")).toEqual(["T02"]);
  // Ahead of another's document it waits for one of its own, which does not come.
  await tell(relationOf("COMING", "RPLC", "THEIRS"), "registry");
  await tell(relationOf("COMING", "RPLC", "NOBODYS"), "registry");
  await push("COMING");
  expect(atHisB("COMING")).toEqual(["T02"]);
});

test.each([
  ["another relation", { ...(relationOf("A", "XFRM", "B") as object) }],
  ["a field that is none of it", { ...(relationOf("A", "RPLC", "B") as object), note: "x" }],
  ["a relation to nothing", { command: "relation", uniqueId: "1.2.3" }],
  [
    "an id that is too long",
    { command: "relation", uniqueId: "1".repeat(513), relatedDocument: { type: "RPLC", uniqueId: "1" } },
  ],
  ["another command", { command: "status", message: "0".repeat(32) }],
])("%s is refused", async (_what, command) => {
  expect(await tell(command)).toMatchObject({ status: 400, profile: "semrs-2" });
});

test("of a document that never comes it is kept for a day; what was used, came late or is another's is not", async () => {
  await tell(relationOf("NEVER", "RPLC", "FIRST"));
  await exchange.stop("hospital-b");
  const config = {
    own: { channels: [], retention: { refused: {}, filtered: {}, done: {}, discarded: {}, audit: {} } },
  };
  const keptAfter = async (hours: number): Promise<readonly string[]> => {
    const key = Buffer.from(readFileSync(join(pki, "hospital-b", "storage.key"), "utf8").trim(), "hex");
    const store = await openStore({ folder: join(exchange.folder, "data", "hospital-b"), key, now: () => new Date() });
    try {
      const now = (): Date => new Date(Date.now() + hours * 3_600_000);
      await openRetention({ store, config, log: () => undefined, now } as unknown as Site).look();
      return ["NEVER", "TWICE", "EARLY", "OURS"].filter((name) =>
        ["hospital-a", "registry"].some(
          (org) => store.relations.find(org, store.tokens.of("document", "", idOf(name))) !== undefined,
        ),
      );
    } finally {
      await store.close();
    }
  };
  expect(await keptAfter(23)).toEqual(["NEVER"]);
  expect(await keptAfter(25)).toEqual([]);
});
