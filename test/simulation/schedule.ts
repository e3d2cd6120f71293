/** One schedule of a seed: senders, a person, faults and crashes, and what must hold at every step and at the end. */
import { codeOf } from "../../errors.ts";
import type { Config } from "../../pipeline/config.ts";
import { shutAt } from "../../pipeline/windows.ts";
import { emptyHead, walkFile } from "../../store/accept-journal.ts";
import { sumsOf } from "../../store/reconcile.ts";
import type { Id } from "../../store/store.ts";
import { channel, type House, type Message, openHouse } from "./house.ts";
import { openNetwork } from "./network.ts";
import { type Life, openWorld, type World } from "./world.ts";

/** Lines of what happened that a failure tells. */
const maxTold = 30;
/** Reconciliation goes through every row: looked at after so many transactions, at every start and at the end. */
const reconciledEvery = 48;
const senders = 2;
const patients = ["p0", "p1", "p2"] as const;
/** When a person's and the network's whims end, and everything has to drain. */
const calmMs = 9_000;

/** Runs a seed; resolves with its world, rejects with what did not hold. */
export async function runSchedule(seed: number): Promise<World> {
  const world = openWorld(seed);
  const { chance } = world;
  const decided = new Set<Id>();
  const acknowledged = new Map<string, Id>();
  const states = new Map<Id, string>();
  const judged = new Map<string, Id>();
  const judging = new Set<string>();
  const config = configOf(world);
  const network = openNetwork(
    world,
    (id) => decided.has(id) || stateOf(id) === "parked" || stateOf(id) === "discarded",
    (destination) => shutAt(config, world.now()).some((shut) => shut.destination === destination),
  );
  let house: House | undefined;
  let current: Life | undefined;
  let isCalm = false;
  let commits = 0;

  const stateOf = (id: Id): string =>
    String(world.statement("SELECT state FROM delivery WHERE id = ?").get(id)?.state ?? "");

  /** After every transaction: what is final stays so, and what is parked moves only by a person's word. */
  const committed = (): void => {
    for (const { id, state } of world.statement("SELECT id, state FROM delivery").all()) {
      const [name, before] = [String(id), states.get(String(id))];
      if (before === state) continue;
      const isFinal = before === "delivered" || before === "discarded";
      if (isFinal || (before === "parked" && !decided.has(name)))
        world.fail(`${name} went from ${before} to ${String(state)}`);
      if (state === "delivered" && !network.has(name)) world.fail(`${name} is delivered and nobody has it`);
      states.set(name, String(state));
    }
    commits += 1;
    if (commits % reconciledEvery === 0) reconciled(false);
  };
  /** accepted = what became of it, and nothing is lost; everything acknowledged is among it. */
  const reconciled = (withJournal: boolean): void => {
    const sums = sumsOf({ prepare: world.statement }, [channel]);
    const lost = sums.reduce((sum, each) => sum + each.lost, 0);
    const accepted = sums.reduce((sum, each) => sum + each.accepted, 0);
    const rows = Number(world.statement("SELECT count(*) AS n FROM arrival").get()?.n);
    if (lost > 0 || accepted !== rows) world.fail(`reconciliation: ${accepted} of ${rows}, ${lost} lost`);
    if (!withJournal) return;
    const file = world.file.open(
      () => undefined,
      () => undefined,
    );
    const journal = new Set([...walkFile(file, emptyHead)].map(({ accepted: { id } }) => id));
    for (const [controlId, id] of acknowledged) {
      if (!world.statement("SELECT 1 FROM arrival WHERE id = ?").get(id))
        world.fail(`${controlId} was acknowledged and is not in the index`);
      if (!journal.has(id)) world.fail(`${controlId} was acknowledged and is not in the accept journal`);
    }
  };

  const start = async (): Promise<void> => {
    const life = world.live();
    current = life;
    house = undefined;
    judged.clear();
    judging.clear();
    try {
      const opened = await openHouse(world, life, network, config, {
        committed,
        judged: (row, named) => {
          for (const patient of named) {
            if ((judged.get(patient) ?? "") > row.id || judging.has(patient))
              world.fail(`${row.controlId} is judged out of its turn`);
            judged.set(patient, row.id);
            judging.add(patient);
          }
          return () => {
            for (const patient of named) judging.delete(patient);
          };
        },
        broken: () => world.crash("kill"),
      });
      if (life.isOver()) return;
      if (opened.site.store.missing.length > 0) world.fail("the start finds acceptances that the index lost");
      house = opened;
      reconciled(true);
      world.tell("started");
    } catch (thrown) {
      if (!life.isOver()) world.fail(`does not start: ${thrown instanceof Error ? thrown.stack : String(thrown)}`);
    }
  };
  world.onCrash(() => {
    house = undefined;
    world.after(10 + chance(2_000), () => void start());
  });

  /** Sends until it is acknowledged, then the next one. */
  const sender = async (name: number): Promise<void> => {
    const rest = (ms: number): Promise<void> => new Promise((go) => void world.after(ms, go));
    const messages = 1 + chance(3);
    for (let n = 0; n < messages; n += 1) {
      const [first = "p0", second = "p1"] = chance(2) === 0 ? patients : patients.toReversed();
      const message: Message = { controlId: `${name}-${n}`, patients: chance(6) === 0 ? [first, second] : [first] };
      while (!acknowledged.has(message.controlId)) {
        await rest(chance(1_500));
        const [receiver, life] = [house, current];
        if (!receiver || !life) continue;
        const answered = receiver.receive(message).then(
          (id) => {
            if (!life.isOver()) acknowledged.set(message.controlId, id);
          },
          () => undefined,
        );
        // An answer, or the connection goes with the process.
        let isAnswered = false;
        void answered.then(() => {
          isAnswered = true;
        });
        while (!isAnswered && !life.isOver()) await rest(40);
      }
    }
  };

  const whim = (): void => {
    if (isCalm) return;
    world.after(chance(1_800), whim);
    const act = async (): Promise<void> => {
      const parked = [...states].filter(([, state]) => state === "parked").map(([id]) => id);
      const one = parked[chance(Math.max(1, parked.length))];
      const stoppable = ["his", "registry", channel][chance(3)] ?? channel;
      const acts = [
        () => house?.pause(stoppable, "pause"),
        () => house?.pause(stoppable, "resume"),
        () => house?.pause(channel, chance(2) === 0 ? "drain" : "resume"),
        () => one && decide(one, chance(2) === 0 ? "release" : "discard"),
        () => house?.fill(1 + chance(6)),
        () => world.file.failSync(),
        () => orderly(),
      ];
      await acts[chance(acts.length)]?.();
    };
    act().catch((thrown: unknown) => world.tell(`a person is told ${codeOf(thrown)}`));
  };
  const decide = async (id: Id, verb: "release" | "discard"): Promise<void> => {
    decided.add(id);
    network.excused.add(id);
    world.tell(`${verb} ${id.slice(-6)}`);
    await house?.decide(id, verb);
  };
  const orderly = async (): Promise<void> => {
    const [stopping, life] = [house, current];
    house = undefined;
    if (!stopping || !life) return;
    world.tell("stop");
    try {
      await stopping.stop();
    } finally {
      // With whatever it could not do any more.
      if (!life.isOver()) world.crash("kill");
    }
  };

  void start();
  for (let name = 0; name < senders; name += 1) void sender(name);
  world.after(0, whim);
  /** Again and again, since a crash may come between. */
  const settle = (): void => {
    isCalm = true;
    network.calm();
    const stopped = world.statement("SELECT name FROM stop").all();
    for (const { name } of stopped) house?.pause(String(name), "resume").catch(() => undefined);
    if (!house || stopped.length > 0) world.after(1_000, settle);
  };
  world.after(calmMs, settle);
  try {
    await world.run();
    atRest();
  } catch (cause) {
    const last = world.told.slice(-maxTold).join("\n  ");
    throw new Error(`${cause instanceof Error ? cause.message : String(cause)}; before that:\n  ${last}`, { cause });
  }
  return world;

  function atRest(): void {
    if (!house) throw new Error("at the end no house runs");
    reconciled(true);
    const open = [...states].filter(([, state]) => !["delivered", "parked", "discarded"].includes(state));
    const parked = [...states].filter(
      ([id, state]) => state === "parked" && !network.poison.has(id) && !isHeld(config),
    );
    if (open.length > 0) throw new Error(`${open.map(([id, state]) => `${id} is ${state}`).join(", ")} at the end`);
    if (parked.length > 0) throw new Error(`${parked.map(([id]) => id).join(", ")} parked without a reason`);
  }
}

const isHeld = ({ own }: Config): boolean => own.systems.his?.mllp?.ambiguous === "hold";

function configOf({ chance }: World): Config {
  const ambiguous = chance(3) === 0 ? "hold" : "retry";
  const mllp = { connect: {}, connections: 1 + chance(3), ambiguous, keepSeconds: 60 * chance(2) };
  return {
    site: "a",
    delivery: { retry: { first: 100, max: 5_000, for: 14 * 86_400_000 }, order: "patient" },
    own: { systems: { his: { mllp } }, channels: [{ name: channel, kind: "outbound" }] },
    timeZone: "UTC",
    partners: { registry: chance(4) === 0 ? { window: { between: ["00:01", "23:59"] } } : {} },
  } as unknown as Config;
}
