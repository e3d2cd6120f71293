/** One life of a house: the product's delivery loop, patient order, stops and acts over a simulated store; a corridor of one step. */
import type { Config } from "../../pipeline/config.ts";
import { openDeliveryLoop, type Send } from "../../pipeline/delivery.ts";
import { discard, release } from "../../pipeline/journal-actions.ts";
import { openPatientOrder, type Turn } from "../../pipeline/patient-order.ts";
import { newDelivery } from "../../pipeline/route.ts";
import type { Site } from "../../pipeline/site.ts";
import { openStopped, stop } from "../../pipeline/stops.ts";
import type { ArrivalRow, Delivery, Id } from "../../store/store.ts";
import { arrivalRow } from "../store/rows.ts";
import type { Network } from "./network.ts";
import { openSimulatedStore } from "./store.ts";
import type { Life, World } from "./world.ts";

/** A report of one patient, or a merge, which names two and becomes nothing. */
export type Message = { readonly controlId: string; readonly patients: readonly string[] };

export type House = {
  readonly site: Site;
  /** Resolves when it is acknowledged, with its id; rejects with the fault that its sender is told. */
  receive(message: Message): Promise<Id>;
  pause(name: string, verb: "pause" | "resume" | "drain"): Promise<void>;
  decide(id: Id, verb: "release" | "discard"): Promise<void>;
  fill(times: number): void;
  /** A stop in good order. */
  stop(): Promise<void>;
};

export const channel = "documents";
/** What is asked of each report: in order for the HIS, in any order for the registry. */
const asked = [
  { kind: "message", destination: "his", isOrdered: true },
  { kind: "register", destination: "registry", isOrdered: false },
] as const;

export type Watch = {
  /** After each transaction of the index. */
  committed(): void;
  /** A message has its turn; what is returned is called when it leaves. */
  judged(row: ArrivalRow, patients: readonly string[]): () => void;
  /** The store can write no more. */
  broken(): void;
};
/** How long a verdict takes at most. */
const judgingMs = 400;
const connectingMs = 100;

export async function openHouse(
  world: World,
  life: Life,
  network: Network,
  config: Config,
  { committed, judged, broken }: Watch,
): Promise<House> {
  const opened = await openSimulatedStore(world, life, committed, broken);
  const { store } = opened;
  const stopping = new AbortController();
  let wake = (): void => undefined;
  const site = {
    store,
    config,
    log: () => undefined,
    metrics: { passed: () => undefined },
    now: () => new Date(world.now()),
    signal: stopping.signal,
    stopped: openStopped(store),
    wake: () => wake(),
  } as unknown as Site;
  const send: Send = async (_site, delivery, onTheWire) => {
    // As long as a connection takes: a crash meanwhile is no reason for it to come twice.
    await new Promise<void>((go) => void life.clock.after(world.chance(connectingMs), go));
    await onTheWire();
    const [sent] = await network.send(life, [delivery]);
    return sent ?? { changes: [], event: "delivered" };
  };
  const together = { register: (_site: Site, deliveries: readonly Delivery[]) => network.send(life, deliveries) };
  const sends = { message: send } as Record<Exclude<Delivery["kind"], "register">, Send>;
  const order = openPatientOrder();

  /** The corridor: what a message becomes, in one commit, in its patients' turn. A full disk is waited for. */
  const judge = async (row: ArrivalRow, { patients }: Message, turn: Turn): Promise<void> => {
    await turn.ready;
    const left = judged(row, patients);
    await new Promise<void>((go) => void life.clock.after(world.chance(judgingMs), go));
    const { id } = row;
    const isMerge = patients.length > 1;
    const record = store.newId();
    const key = store.tokens.of("patient", "", patients[0] ?? "");
    const item = { id: store.newId(), kind: "document", arrival: id, channel, key: id, digest: id, blob: "" } as const;
    const state = { state: "sealed", code: null, reason: null, since: row.receivedAt, record, facts: null } as const;
    const deliveries = asked.map(({ kind, destination, isOrdered }): Delivery => {
      return { ...newDelivery(site, kind, channel, destination), record, order: isOrdered ? key : null };
    });
    if (world.chance(8) === 0) for (const delivery of deliveries) network.poison.add(delivery.id);
    const made = [
      ...store.items.add({ ...item, ...state, joins: [], patients: [key] }),
      ...store.records.add({
        ...{ id: record, channel, origin: "own", author: "a", manifest: new Uint8Array(), signature: new Uint8Array() },
        ...{ manifestSha256: "", key: id, parts: [], patients: [key], state: "stored", code: null, reason: null },
        ...{ entry: null, createdAt: row.receivedAt },
      }),
      ...deliveries.map(store.deliveries.add),
    ];
    const settled = store.arrivals.settle(id, { state: "done", channel: isMerge ? null : channel });
    for (;;) {
      try {
        await store.commit([settled, ...(isMerge ? [] : made)]);
        break;
      } catch {
        await new Promise<void>((again) => void life.clock.after(500, again));
      }
    }
    left();
    turn.leave();
    wake();
  };

  const receive = async (message: Message): Promise<Id> => {
    life.touch();
    site.stopped.admit("channel", channel);
    const repetition = store.tokens.of("message", "", message.controlId);
    const turn = order.enter(message.patients);
    const fresh = { controlId: message.controlId, repetition, facts: message, receivedAt: site.now().toISOString() };
    const row = arrivalRow(store.newId(), fresh);
    try {
      await store.commit([store.arrivals.add(row)], [{ id: row.id, digest: "00" }]);
    } catch (thrown) {
      turn.leave();
      const before = store.arrivals.byRepetition(repetition);
      if (before) return before.id;
      throw thrown;
    }
    void judge(row, message, turn);
    life.touch();
    return row.id;
  };

  const loop = openDeliveryLoop(site, sends, together, life.clock);
  wake = loop.wake;
  for (const row of store.arrivals.list({ state: "accepted", limit: 1_000 })) {
    const message = row.facts as Message;
    await judge(row, message, order.enter(message.patients));
  }
  return {
    site,
    receive,
    pause: async (name, verb) => void (await stop(site, name, verb, "a person says so")),
    decide: async (id, verb) => {
      const releases = { look: () => undefined, again: async () => undefined };
      await (verb === "release" ? release(site, releases, id, "decided") : discard(site, id, "decided"));
    },
    fill: opened.fill,
    stop: async () => {
      stopping.abort();
      await loop.stop();
      opened.close();
    },
  };
}
