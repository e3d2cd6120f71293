/**
 * Whether the registry still knows what it has signed. A registry that was restored from a backup of yesterday has forgotten what
 * came since, and does not know it: the heads of its audit log that its answers carried tell. What it has answered since the last
 * head that it still has is registered anew, and what it had been told of merges and cancellations is told again.
 */
import { contentOf } from "../envelope/index.ts";
import { codeOf, Fault, reasonOf } from "../errors.ts";
import { commandMediaType, maxHeads, readCommand, writeCommand } from "../formats/command.ts";
import { isUnderWay } from "../store/delivery.ts";
import { firstId } from "../store/rows.ts";
import type { AuditHead, Change, Delivery, Token } from "../store/store.ts";
import type { HeldHead } from "../store/witnesses.ts";
import { isConsenting, ordersLike } from "./consents.ts";
import { isMerging } from "./merge.ts";
import { ask, partOne } from "./partner.ts";
import { newDelivery } from "./route.ts";
import { type Site, step } from "./site.ts";

export type Recall = {
  /** Asks the registry now, and makes good what it has lost; how many deliveries. */
  look(): Promise<number>;
  /** An answer of this partner was signed before another one that came earlier. */
  doubt(org: string): void;
  begin(): void;
  stop(): Promise<void>;
};

/** Answers that were under way together may have come in another order. */
const marginMs = 3_600_000;
/** Deliveries in one commit, between those of intake. */
const page = 200;

/** Asks as often as `delivery.recall` says, from `begin` on, and whenever an answer gives reason to doubt. */
export function openRecall(site: Site): Recall {
  const { store, log, config, signal } = site;
  const registry = config.registryPartner;
  let timer: NodeJS.Timeout | undefined;
  let looking: Promise<unknown> = Promise.resolve();
  let [isStopped, isDoubted] = [false, false];

  const recall = async (): Promise<number> => {
    isDoubted = false;
    const lost = await oldestLost(site);
    if (!lost) return 0;
    const { held, kept } = await newestHeld(site, lost.at);
    const since = new Date(held ? Date.parse(held.at) - marginMs : 0).toISOString();
    const count = await again(site, since);
    const reason = `its audit log ${held ? `ends, or is another, behind entry ${held.seq} of ${held.at}` : "is another one"}: it was restored from a backup, or rewritten; ${count} are told it again`;
    await store.commit([
      store.witnesses.disown(registry, held?.seq ?? -1),
      ...kept,
      ...store.audit.add({ event: "loss", outcome: "failed", peer: registry, count, reason }),
    ]);
    log("route.lost", { peer: registry, count, reason }, "error");
    site.wake();
    return count;
  };
  const look = (): Promise<number> => {
    const mine = looking.then(recall);
    looking = mine.catch(() => undefined);
    return mine;
  };
  const watch = async (): Promise<void> => {
    await look().catch((thrown: unknown) => {
      if (!signal.aborted)
        log("route.unrecalled", { peer: registry, code: codeOf(thrown), reason: reasonOf(thrown) }, "warn");
    });
    clearTimeout(timer);
    if (!isStopped) timer = setTimeout(watch, config.delivery.recall).unref();
  };
  return {
    look,
    doubt: (org) => {
      if (org !== registry || isDoubted || isStopped) return;
      isDoubted = true;
      void watch();
    },
    begin: () => {
      if (registry !== config.site && registry in config.partners) void watch();
    },
    stop: async () => {
      isStopped = true;
      clearTimeout(timer);
      await looking;
    },
  };
}

/**
 * Asks for what came since it was asked last, oldest first and one by one: what it has signed since its loss, it has. Where all is
 * there, the newest is what the next look begins with.
 */
async function oldestLost(site: Site): Promise<HeldHead | undefined> {
  const { store, config } = site;
  const heads = store.witnesses.unasked(config.registryPartner);
  for (const head of heads) if (!(await heldOf(site, [head])).held) return head;
  const newest = heads.at(-1);
  if (newest) await store.commit([store.witnesses.confirm(config.registryPartner, newest)]);
  return undefined;
}

/** Goes back through the heads of before the first that is lost, newest first, to the first that the registry has. */
async function newestHeld(site: Site, lostAt: string): Promise<Held> {
  for (let before = lostAt; ; ) {
    const heads = site.store.witnesses.standing(site.config.registryPartner, maxHeads, before);
    const asked = await heldOf(site, heads);
    if (asked.held || heads.length < maxHeads) return asked;
    before = heads.at(-1)?.at ?? before;
  }
}

/** `kept`: where its log stands now, committed once what it had before is disowned. */
type Held = { readonly held: HeldHead | undefined; readonly kept: readonly Change[] };

async function heldOf(site: Site, heads: readonly HeldHead[]): Promise<Held> {
  const registry = site.config.registryPartner;
  if (heads.length === 0) return { held: undefined, kept: [] };
  const command = writeCommand<"status">({
    command: "status",
    heads: heads.map(({ seq, head }): AuditHead => ({ seq, head })),
  });
  const { answer, kept } = await ask(site, registry, {
    path: "/registry/status",
    purpose: "status",
    message: site.store.newId(),
    messageType: "status",
    content: [await contentOf(command, "command", commandMediaType)],
    answers: ["response"],
  });
  if (!answer) throw new Fault("PEER_REFUSED", `${registry} answered without saying what it holds`);
  const { head } = readCommand("holds", await partOne(answer));
  return { held: heads.find((each) => each.seq === head?.seq && each.head === head.head), kept };
}

/** Every registration and change that was answered since is a delivery again, and its record is registered no more until then. */
async function again(site: Site, since: string): Promise<number> {
  const { store, config } = site;
  const oldest = Date.parse(since) - config.delivery.retry.for;
  const before = store.newId();
  const orders = new Set<Token>();
  let [count, from] = [0, firstId(oldest)];
  for (;;) {
    const deliveries = store.deliveries.answered({ registry: config.registryPartner, since, from, limit: page });
    await store.commit(deliveries.flatMap((delivery) => madeAnew(site, delivery)));
    for (const delivery of deliveries) for (const order of ordersOf(site, delivery)) orders.add(order);
    count += deliveries.length;
    from = deliveries.at(-1)?.id ?? from;
    if (deliveries.length < page) break;
  }
  // Of consents, and of merges that are taken back, the last one told decides: what waited when they were lost is told once more, behind them.
  const waiting = [...orders]
    .flatMap((order) => store.deliveries.changes(order, page))
    .filter((delivery) => delivery.id < before && isUnderWay(delivery))
    .sort((one, other) => (one.id < other.id ? -1 : 1));
  await store.commit(waiting.flatMap((delivery) => madeAnew(site, delivery)));
  return count;
}

const ordersOf = (site: Site, delivery: Delivery): Iterable<Token> =>
  isConsenting(delivery) ? ordersLike(site, delivery) : isMerging(delivery) && delivery.order ? [delivery.order] : [];

function madeAnew(site: Site, { kind, channel, destination, record, order, payload }: Delivery): readonly Change[] {
  const anew = newDelivery(site, kind, channel, destination);
  return [
    site.store.deliveries.add({ ...anew, record, order, payload }),
    ...(kind === "register" && record ? [site.store.records.mark(record, { state: "stored" })] : []),
    step(site, record ?? anew.id, "route", "lost", { peer: destination, detail: "the registry has lost it" }),
  ];
}
