/** Replacements and addenda that only their message calls so (TXA-13, setId, order number), pushed: what HIS B gets (decision 37). */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeAll, beforeEach, expect, test } from "vitest";
import { ports } from "../commands/demo/ports.ts";
import type { Traced } from "../commands/journal/trace.ts";
import { contentOf } from "../envelope/index.ts";
import { commandMediaType, writeCommand } from "../formats/command.ts";
import { bytesOf } from "./envelope/people.ts";
import { inPlace, type Reply } from "./exchange/in-place.ts";
import { peerOf } from "./exchange/peer.ts";
import { cda, chen, mdmFor } from "./fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "./sites.ts";

const [documents, relations, status] = ["/repository/documents", "/repository/relations", "/repository/status"];

let pki: string;
let exchange: TestExchange;
let close: () => Promise<void>;
/** What hospital A asked of hospital B, in order. */
let asked: string[];
/** What stands before hospital B, where a test says so: undefined passes it on. */
let before: (path: string) => Promise<Reply | undefined>;
/** Whether hospital B's answer is lost. */
let isLost: (path: string) => boolean;
beforeAll(async () => {
  pki = await testPki();
});
beforeEach(async () => {
  [asked, before, isLost] = [[], async () => undefined, () => false];
  const { GATE: gate = "" } = await ports(["GATE"]);
  close = await inPlace(
    pki,
    async () => undefined,
    "hospital-b",
    gate,
    async (request, response) => {
      const path = (request.url ?? "").replace("/semrs/v1", "");
      const body = Buffer.concat(await request.toArray());
      const headers = Object.entries(request.headers)
        .filter(([name]) => /^(mime|content-type|content-transfer|x-)/.test(name))
        .map(([name, value]) => [name, `${value}`] as const);
      asked.push(path);
      const instead = await before(path);
      if (instead) return instead;
      const answer = await peerOf(pki, exchange.env.B_PORT).post(headers, body, { path });
      const answered = answer.headers.filter(([name]) => /^(mime|content-type|content-transfer|x-)/i.test(name));
      if (!isLost(path)) return { status: answer.status, sealed: { headers: answered, octets: answer.body } };
      response.destroy();
      return undefined;
    },
  );
  exchange = await openExchange(pki, { RETRY: "100ms" }, (yaml) =>
    yaml
      .replace(/(hospital-b: \{ url: )[^,]+,/, `$1"https://127.0.0.1:${gate}",`)
      .replaceAll("route: [repository]", "route: [repository, hospital-b]"),
  );
});
afterEach(async () => {
  await exchange.close();
  await close();
});

type Report = { readonly id: string; readonly setId?: boolean };
const report = ({ id, setId = false }: Report): Uint8Array =>
  Buffer.from(
    Buffer.from(cda({ form: "113", extension: id, patient: chen, code: "11502-2", display: "x", title: "t", body: id }))
      .toString("utf8")
      .replace("<recordTarget", setId ? '<setId root="1.2.3" extension="S"/><versionNumber value="1"/>$&' : "$&"),
  );
type How = { readonly event?: string; readonly parent?: string; readonly order?: string };
/** `order`: TXA-14. */
async function send(it: Report, { event = "T02", parent = "", order = "" }: How = {}): Promise<void> {
  const name = `N-${it.id}`;
  const message = mdmFor(report(it), { controlId: it.id, event: `MDM^${event}^MDM_T02`, name, parent });
  const text = Buffer.from(message)
    .toString("utf8")
    .replace(`|${name}|${parent}||||`, `|${name}|${parent}|${order}|||`);
  expect(await exchange.message(Buffer.from(text))).toMatchObject({ state: "delivered", detail: "AA" });
}
/** Event, TXA-12 and TXA-13 of every message that HIS B took, in no order. */
const atHisB = (): readonly string[] =>
  readdirSync(exchange.receivers.his.folder)
    .filter((name) => name.endsWith(".hl7"))
    .map((name) => readFileSync(join(exchange.receivers.his.folder, name), "utf8"))
    .map((message) => {
      const txa = /\rTXA\|([^\r]*)/.exec(message)?.[1]?.split("|") ?? [];
      const named = (field = ""): string => field.split("\\S\\").at(-1) ?? "";
      return [message.split("|")[8]?.slice(4, 7), named(txa[11]), named(txa[12])].join(" ").trim();
    })
    .sort();
const got = (...expected: readonly string[]): Promise<void> =>
  until(`HIS B has ${expected.join(", ")} and not ${atHisB().join(", ")}`, () => `${atHisB()}` === `${expected}`);
const trace = (id: string, site: "hospital-a" | "hospital-b" = "hospital-a"): Promise<Traced> =>
  exchange.admin(site).get<Traced>(`/trace/${id}`);
const pushedAs = async (id: string): Promise<string | null | undefined> =>
  (await trace(id)).steps.find(({ event }) => event === "pushed")?.detail;
/** Whether hospital A has nothing under way: everybody who has a report was told what replaces it. */
const isQuiet = async (): Promise<boolean> => {
  const { deliveries } = await exchange.admin("hospital-a").get<{ deliveries: Record<string, number> }>("/counts");
  return (deliveries.queued ?? 0) + (deliveries.inflight ?? 0) + (deliveries.ambiguous ?? 0) === 0;
};
const countOf = (path: string): number => asked.filter((each) => each === path).length;

test.each<[string, Report, How, Report, How, string]>([
  ["TXA-13 alone", { id: "A1" }, {}, { id: "A2" }, { event: "T10", parent: "N-A1" }, "T10"],
  ["setId", { id: "A1", setId: true }, {}, { id: "A2", setId: true }, { event: "T10" }, "T10"],
  ["order number", { id: "A1" }, { order: "ORD^HIS" }, { id: "A2" }, { event: "T10", order: "ORD^HIS" }, "T10"],
  ["TXA-13 alone, an addendum", { id: "A1" }, {}, { id: "A2" }, { event: "T06", parent: "N-A1" }, "T06"],
])(
  "by %s: HIS B gets it as what it is, once, and the house is told once",
  async (_what, one, how, two, then, event) => {
    await send(one, how);
    await got("T02 A1");
    await send(two, then);
    await got("T02 A1", `${event} A2 A1`);
    await until("nothing is under way", isQuiet);
    expect(atHisB()).toEqual(["T02 A1", `${event} A2 A1`]);
    expect(asked.filter((path) => path !== documents)).toEqual([relations]);
    expect(await pushedAs("A2")).toBe("receipt verified");
    const { steps } = await trace((await trace("A2")).records[0]?.id ?? "", "hospital-b");
    expect(steps.find((step) => step.event === "related")).toMatchObject({ station: "open", peer: "hospital-a" });
  },
);

test("a report that is new is announced by nothing", async () => {
  await send({ id: "N1" });
  await got("T02 N1");
  expect(countOf(relations)).toBe(0);
});

test("a house of before has no such resource: it gets what it gets today, and the journal says so", async () => {
  before = async (path) => (path === relations ? { status: 404 } : undefined);
  await send({ id: "O1" });
  await got("T02 O1");
  await send({ id: "O2" }, { event: "T06", parent: "N-O1" });
  await got("T02 O1", "T02 O2");
  expect(await pushedAs("O2")).toBe("receipt verified, its relation was not taken");
});

test("a house that is busy when it is told is told again, before the push", async () => {
  await send({ id: "R1" });
  await got("T02 R1");
  before = async (path) => (path === relations && countOf(relations) < 3 ? { status: 503 } : undefined);
  await send({ id: "R2" }, { event: "T06", parent: "N-R1" });
  await got("T02 R1", "T06 R2 R1");
  expect(asked).toEqual([documents, relations, relations, relations, documents]);
});

test("hospital B is restarted between the relation and the record, and its answer to the push is lost", async () => {
  await send({ id: "S1" });
  await got("T02 S1");
  const pushes = countOf(documents) + 1;
  const isFirst = (path: string): boolean => path === documents && countOf(documents) === pushes;
  before = async (path) => {
    if (!isFirst(path)) return undefined;
    await exchange.stop("hospital-b");
    await exchange.start("hospital-b");
    return undefined;
  };
  isLost = isFirst;
  await send({ id: "S2" }, { event: "T06", parent: "N-S1" });
  await got("T02 S1", "T06 S2 S1");
  await until("nothing is under way", isQuiet);
  expect(atHisB()).toEqual(["T02 S1", "T06 S2 S1"]);
  expect(asked.slice(asked.indexOf(relations), asked.indexOf(status) + 1)).toEqual([relations, documents, status]);
});

test("hospital A is restarted while hospital B is away: what was acknowledged is told and pushed", async () => {
  await send({ id: "T1" });
  await got("T02 T1");
  before = async () => ({ status: 503 });
  await send({ id: "T2" }, { event: "T06", parent: "N-T1" });
  await until("tried in vain", () => countOf(relations) > 0);
  await exchange.stop("hospital-a");
  before = async () => undefined;
  await exchange.start("hospital-a");
  await got("T02 T1", "T06 T2 T1");
});

test("a house of whom no channel takes pushes is refused", async () => {
  const peer = peerOf(pki, exchange.env.B_PORT);
  const relatedDocument = { type: "RPLC", uniqueId: "1.2.3" } as const;
  const command = writeCommand<"relation">({ command: "relation", uniqueId: "1.2.4", relatedDocument });
  const content = [await contentOf(command, "command", commandMediaType)];
  const said = { purpose: "notify", messageType: "relation", content } as const;
  const post = async (sender: string): Promise<number> => {
    const keys = join(pki, sender);
    const sealed = await peer.push({ ...said, sender }, keys);
    return (await peer.post(sealed.headers, await bytesOf(sealed.body()), { path: relations, as: keys })).status;
  };
  expect([await post("hospital-a"), await post("registry")]).toEqual([204, 403]);
});
