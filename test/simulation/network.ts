/** Destinations behind a simulated network: what is sent arrives or not, is answered or not; each keeps what it was given, in order. */
import { Fault } from "../../errors.ts";
import type { Sent } from "../../pipeline/delivery.ts";
import type { Delivery, Id } from "../../store/store.ts";
import type { Life, World } from "./world.ts";

export type Network = {
  /** In one request: its destination takes all of it or nothing. */
  send(life: Life, deliveries: readonly Delivery[]): Promise<readonly Sent[]>;
  /** From now on everything arrives and is answered. */
  calm(): void;
  /** Whether a destination has it. */
  has(id: Id): boolean;
  /** Deliveries that may come twice: their answer was lost, or they were on the wire in a crash, or a person sends them again. */
  readonly excused: Set<Id>;
  /** Deliveries that their destination refuses for good. */
  readonly poison: Set<Id>;
};

const answers = ["taken", "taken", "taken", "taken", "unreachable", "busy", "lost", "unknown"] as const;
const downMs = 8_000;
/** What was begun when a pause is committed goes on. */
const graceMs = 200;
const pausedSql = "SELECT 1 FROM stop WHERE mode = 'paused' AND name IN (?, ?) AND since < ?";
const earlierSql = "SELECT id FROM delivery WHERE destination = ? AND sequence = ? AND id < ?";
/** What is sent together is not marked before. */
const onTheWireSql =
  "SELECT id FROM delivery WHERE state = 'inflight' OR (kind = 'register' AND state IN ('queued', 'ambiguous'))";

/** Checks at each arrival: nothing twice without a fault, and after all earlier ones of its key but those a person decides about. */
export function openNetwork(
  world: World,
  isExcepted: (id: Id) => boolean,
  isShut: (destination: string) => boolean,
): Network {
  const { chance } = world;
  const taken = new Set<Id>();
  const excused = new Set<Id>();
  const poison = new Set<Id>();
  const downUntil = new Map<string, number>();
  const wire = new Set<readonly Delivery[]>();
  let isCalm = false;

  const arrive = (deliveries: readonly Delivery[]): void => {
    wire.delete(deliveries);
    if (deliveries.some(({ id }) => poison.has(id))) return;
    for (const { id, destination, order } of deliveries) {
      world.tell(`${destination} has ${id.slice(-6)}`);
      if (taken.has(id) && !excused.has(id)) world.fail(`${id} came twice to ${destination} without a fault`);
      if (order !== null && !taken.has(id))
        for (const { id: earlier } of world.statement(earlierSql).all(destination, order, id))
          if (!taken.has(String(earlier)) && !isExcepted(String(earlier)))
            world.fail(`${id} overtook ${String(earlier)} of its key`);
      taken.add(id);
    }
  };
  world.onCrash(() => {
    for (const deliveries of [...wire]) {
      for (const { id } of deliveries) excused.add(id);
      if (chance(2) === 0) arrive(deliveries);
    }
    wire.clear();
    for (const { id } of world.statement(onTheWireSql).all()) if (taken.has(String(id))) excused.add(String(id));
  });

  const send = async (life: Life, deliveries: readonly Delivery[]): Promise<readonly Sent[]> => {
    const { destination = "", kind, channel = "" } = deliveries[0] ?? {};
    const pause = (most: number): Promise<void> => new Promise((go) => void life.clock.after(chance(most), go));
    const isDown = (downUntil.get(destination) ?? 0) > world.now();
    const answer = isCalm ? "taken" : isDown ? "unreachable" : (answers[chance(answers.length)] ?? "taken");
    if (!isCalm && !isDown && chance(20) === 0) downUntil.set(destination, world.now() + chance(downMs));
    const longAgo = new Date(world.now() - graceMs).toISOString();
    if (world.statement(pausedSql).get(destination, channel, longAgo))
      world.fail(`something is sent to ${destination} in spite of a pause`);
    if (isShut(destination)) world.fail(`something is sent to ${destination} outside its window`);
    wire.add(deliveries);
    await pause(50);
    life.touch();
    if (answer !== "taken" && answer !== "lost") {
      wire.delete(deliveries);
      if (answer === "unreachable") throw new Fault("PEER_UNREACHABLE", "no connection");
      if (answer === "busy") throw new Fault("PEER_BUSY", "503");
      throw new Fault("AE_TITLE_UNKNOWN", "who are you");
    }
    arrive(deliveries);
    await pause(200);
    life.touch();
    if (answer === "lost") {
      for (const { id } of deliveries) excused.add(id);
      throw new Fault(kind === "message" ? "PEER_AMBIGUOUS" : "PEER_UNREACHABLE", "no answer");
    }
    if (deliveries.some(({ id }) => poison.has(id))) throw new Fault("PEER_REFUSED", "never");
    return deliveries.map(() => ({ changes: [], event: "delivered" }));
  };
  return {
    send,
    calm: () => {
      isCalm = true;
    },
    has: (id) => taken.has(id),
    excused,
    poison,
  };
}
