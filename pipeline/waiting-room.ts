/** The waiting room of station `assemble`: looks at a document when something it waits for may have happened. Restart-safe. */
import { codeOf, reasonOf } from "../errors.ts";
import type { Item } from "../store/store.ts";
import { belongs, decide, decideLate } from "./assemble.ts";
import type { OutboundChannel } from "./config.ts";
import { type Site, step } from "./site.ts";
import type { At } from "./validate.ts";

/** A document with the instances that travel with it, or late instances that follow a document that has gone (`appends`). */
export type Assembled = At<
  "assembled",
  {
    readonly channel: OutboundChannel;
    readonly document: Item;
    readonly instances: readonly Item[];
    readonly appends: boolean;
  }
>;

export type WaitingRoom = {
  /** Something was kept: look at what it concerns. */
  arrived(item: Item): void;
  /** A person released a held item: look again. */
  look(document: Item): void;
  stop(): Promise<void>;
};

const maxWaiting = 1_000_000;
/** A look that failed for a passing reason is repeated after this long. */
const retryMs = 5_000;
const sweepMs = 3_600_000;

/** Opens the waiting room with everything that waited when the site stopped. `leave` seals and routes what is assembled. */
export function openWaitingRoom(site: Site, leave: (assembled: Assembled) => Promise<void>): WaitingRoom {
  const { store } = site;
  const looks = new Map<string, { readonly due: number; readonly look: () => Promise<number | undefined> }>();
  let timer: NodeJS.Timeout | undefined;
  let running: Promise<void> = Promise.resolve();
  let isStopped = false;

  const schedule = (key: string, due: number, look: () => Promise<number | undefined>): void => {
    looks.set(key, { due, look });
    arm();
  };
  const arm = (): void => {
    clearTimeout(timer);
    if (isStopped || looks.size === 0) return;
    let first = Number.POSITIVE_INFINITY;
    for (const { due } of looks.values()) first = Math.min(first, due);
    timer = setTimeout(() => (running = running.then(lookAtDue)), Math.min(Math.max(0, first - Date.now()), sweepMs));
  };
  const lookAtDue = async (): Promise<void> => {
    for (const [key, { due, look }] of [...looks]) {
      if (isStopped) return;
      if (due > Date.now() || looks.get(key)?.look !== look) continue;
      looks.delete(key);
      const again = await look().catch((thrown: unknown) => {
        site.log("assemble.deferred", { code: codeOf(thrown), reason: reasonOf(thrown) }, "warn");
        return Date.now() + retryMs;
      });
      if (again !== undefined && !looks.has(key)) looks.set(key, { due: again, look });
    }
    arm();
  };

  const channelOf = (item: Item): OutboundChannel | undefined =>
    site.config.own.channels.find(
      (channel): channel is OutboundChannel => channel.kind === "outbound" && channel.name === item.channel,
    );

  const lookAt = async (id: string): Promise<number | undefined> => {
    const document = store.items.find(id);
    const channel = document && channelOf(document);
    if (!document || !channel || document.state !== "waiting") return undefined;
    const instances = store.items
      .joined("instance", document.joins)
      .filter(({ state }) => state === "waiting" || state === "sealed");
    const decision = decide(
      { document, instances, rules: channel.assemble, patient: channel.validate.study.patient },
      Date.now(),
    );
    if (decision.now === "wait") return decision.until;
    if (decision.now === "hold") return void (await hold([document], decision));
    return void (await go({ channel, document, instances: decision.instances, appends: false } as Assembled));
  };

  const lookAtLate = async (id: string): Promise<number | undefined> => {
    const document = store.items.find(id);
    const channel = document && channelOf(document);
    if (!document || !channel?.assemble || document.state !== "sealed") return undefined;
    const late = store.items
      .joined("instance", document.joins)
      .filter((instance) => instance.state === "waiting" && belongs(document, instance));
    if (late.length === 0) return undefined;
    const decision = decideLate(late, channel.assemble, Date.now());
    if (decision.now === "wait") return decision.until;
    if (decision.now === "hold") return void (await hold(late, decision));
    return void (await go({ channel, document, instances: decision.instances, appends: true } as Assembled));
  };

  /** The station's own figure is how long the document waited. */
  const go = async (assembled: Assembled): Promise<void> => {
    const { channel, document, instances } = assembled;
    const ms = Date.now() - Date.parse(document.since);
    site.metrics.passed("assemble", channel.name, "ok", ms);
    site.log("assemble.assembled", { channel: channel.name, message: document.id, count: instances.length, ms });
    await leave(assembled);
  };

  const hold = async (items: readonly Item[], { code, reason }: { code: string; reason: string }): Promise<void> => {
    await store.commit(
      items.flatMap(({ id }) => [
        store.items.mark(id, { state: "held", code, reason }),
        step(site, id, "assemble", "held", { code }),
      ]),
    );
    site.metrics.passed("assemble", items[0]?.channel ?? "", code, 0);
    for (const { id, channel } of items) site.log("assemble.held", { channel, message: id, code, reason }, "error");
  };

  const arrived = (item: Item): void => {
    if (item.state !== "waiting") return;
    if (item.kind === "document") {
      schedule(item.id, Date.now(), () => lookAt(item.id));
      return;
    }
    const quiet = Date.now() + (channelOf(item)?.assemble?.study.quiet ?? 0);
    for (const document of store.items.joined("document", item.joins)) {
      if (document.state === "waiting") schedule(document.id, quiet, () => lookAt(document.id));
      if (document.state === "sealed") schedule(`late:${document.id}`, quiet, () => lookAtLate(document.id));
    }
  };

  /** A study that no document ever referred to is a person's business after `document.wait`. */
  const sweep = async (): Promise<number> => {
    for (const item of store.items.list({ state: "waiting", kind: "instance", limit: maxWaiting })) {
      const wait = channelOf(item)?.assemble?.document.wait;
      if (wait !== undefined && Date.parse(item.since) + wait < Date.now()) {
        await hold([item], { code: "DOCUMENT_MISSING", reason: "no document ever referred to this study" });
      }
    }
    return Date.now() + sweepMs;
  };

  for (const item of store.items.list({ state: "waiting", limit: maxWaiting })) arrived(item);
  schedule("sweep", Date.now(), sweep);
  return {
    arrived,
    look: (document) => arrived(document),
    stop: async () => {
      isStopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
