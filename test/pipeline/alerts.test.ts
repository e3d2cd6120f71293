/** What alerts are told of while something of the house or of its targets is wrong. */
import { afterEach, beforeEach, expect, test } from "vitest";
import { readCertificate } from "../../envelope/certificate.ts";
import { Fault } from "../../errors.ts";
import { certificates } from "../../pipeline/readiness.ts";
import type { Store } from "../../store/store.ts";
import { type AlertSite, openAlertSite } from "../alert-site.ts";
import { testPki, until } from "../sites.ts";
import { listenWebhook, type WebhookListener } from "../webhook-listener.ts";

const dayMs = 24 * 3_600_000;
let pki: string;
let at: AlertSite;
const webhooks: WebhookListener[] = [];
beforeEach(async () => {
  pki = await testPki();
  at = await openAlertSite(pki);
});
afterEach(async () => {
  await at.close();
  for (const webhook of webhooks.splice(0)) webhook.stop();
});
const listen = async (...given: Parameters<typeof listenWebhook> extends [string, ...infer More] ? More : never) => {
  const webhook = await listenWebhook(pki, ...given);
  webhooks.push(webhook);
  return webhook;
};
const alertsTo = (...targets: readonly WebhookListener[]): string =>
  `{ every: 100ms, webhooks: [${targets.map(({ target }) => target).join(", ")}] }`;
const gap = { key: "journal-gap", kind: "journal-gap", subject: "", says: "1 acknowledged and not in the index" };
const open = () => at.store.commit([at.store.alerts.raise(gap, new Date().toISOString())]);

test("a disk that is full when an alert was told: it is told once, and marked once there is room", async () => {
  const unheard: unknown[] = [];
  const hear = (thrown: unknown): void => void unheard.push(thrown);
  process.on("unhandledRejection", hear);
  await open();
  let [looks, isFull] = [0, false];
  const webhook = await listen((response) => {
    isFull = true;
    response.writeHead(204).end();
  });
  const commit: Store["commit"] = async (...of) => {
    if (isFull) throw new Fault("STORE_FULL", "the disk is full; free space");
    return await at.store.commit(...of);
  };
  const opened = (): ReturnType<Store["alerts"]["open"]> => {
    looks += 1;
    return at.store.alerts.open();
  };
  at.begin(alertsTo(webhook), { store: { ...at.store, commit, alerts: { ...at.store.alerts, open: opened } } });
  await until("told", () => isFull);
  const before = looks;
  await until("looked at again and again", () => looks > before + 3);
  isFull = false;
  await until("marked", () => at.store.alerts.first().length === 0);
  expect(unheard).toEqual([]);
  expect(webhook.posted).toMatchObject([{ state: "resolved", kind: "journal-gap" }]);
  process.off("unhandledRejection", hear);
});

test("an authority that two files name is told of once, and so is everything else", async () => {
  const webhook = await listen();
  const { identity } = at.site;
  const anchors = [...identity.trust.anchors, ...identity.trust.anchors];
  const { notAfter } = readCertificate(anchors[0] ?? new Uint8Array());
  const now = (): Date => new Date(notAfter.getTime() - 40 * dayMs);
  await open();
  const twice = { ...identity, trust: { ...identity.trust, anchors } };
  at.begin(alertsTo(webhook), { now, identity: twice });
  await until("told", () => webhook.posted.some(({ state }) => state === "resolved"));
  const raised = webhook.posted.filter(({ subject }) => subject.startsWith("authority"));
  expect(raised.map(({ subject }) => subject)).toEqual(["authority O=SEMRS, CN=SEMRS exchange CA 60"]);
  expect(
    certificates({ ...at.site, now, identity: twice }).filter(({ check }) => check.includes("authority")),
  ).toHaveLength(1);
});

test("a target that is added later is told of what is open, and of no end whose begin it has not heard", async () => {
  const [one, two, three] = [await listen(), await listen(), await listen()];
  const states = (webhook: WebhookListener) => webhook.posted.map(({ state, kind }) => `${state} ${kind}`);
  const store = { ...at.store, missing: [{}] as unknown as Store["missing"] };
  const first = at.begin(alertsTo(one), { store });
  await until("the first is told", () => one.posted.length === 1);
  await first.stop();
  const second = at.begin(alertsTo(one, two), { store });
  await until("the second is told of what is open", () => two.posted.length === 1);
  await second.stop();
  const third = at.begin(alertsTo(two, three));
  await until("the second is told of the end", () => two.posted.length === 2);
  await third.stop();
  // The first is another one by now: it knows of nothing that is open.
  at.begin(alertsTo(one, two, three), { store });
  await until("all are told of the next", () =>
    [one, two, three].every(({ posted }) => posted.at(-1)?.state === "raised"),
  );
  const [begin, end] = ["raised journal-gap", "resolved journal-gap"];
  expect([one, two, three].map(states)).toEqual([[begin, begin], [begin, end, begin], [begin]]);
});

test("what a target was still to be told is forgotten with it, and not told when it comes back", async () => {
  const down = await listen((response) => void response.writeHead(503).end());
  const store = { ...at.store, missing: [{}] as unknown as Store["missing"] };
  const first = at.begin(alertsTo(down), { store });
  await until("tried", () => at.store.alerts.first().some(({ attempts }) => attempts > 0));
  await first.stop();
  at.begin(alertsTo(await listen()));
  await until("over", () => at.store.alerts.open().length === 0);
  await until("nothing is left to be told", () => at.store.alerts.first().length === 0);
});

test("a clock that is set ahead by weeks gives up no notice that a target has not taken yet", async () => {
  let isUp = false;
  const webhook = await listen((response) => void response.writeHead(isUp ? 204 : 503).end());
  let ahead = 0;
  const now = (): Date => new Date(Date.now() + ahead);
  await open();
  at.begin(alertsTo(webhook), { now });
  const tried = (): number => at.store.alerts.first()[0]?.attempts ?? 0;
  await until("tried", () => tried() > 0);
  ahead = 20 * dayMs;
  const before = tried();
  await until("tried again, or given up", () => tried() !== before);
  expect(at.store.alerts.first()).toHaveLength(1);
  isUp = true;
  await until("told", () => at.store.alerts.first().length === 0);
  expect(webhook.posted.at(-1)).toMatchObject({ state: "resolved", kind: "journal-gap" });
});
