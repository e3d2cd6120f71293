/** One running site's pipeline: opens its listeners, its waiting room, its delivery loop and its admin port, and stops them in order. */
import type { Context, Running } from "../connectors/connector.ts";
import { openBudget } from "../connectors/mllp/budget.ts";
import { openPlaces } from "../connectors/wire.ts";
import { codeOf, reasonOf } from "../errors.ts";
import { systemClock } from "../store/clock.ts";
import type { Delivery } from "../store/store.ts";
import { type Admin, openAdmin } from "./admin.ts";
import { openAlerting } from "./alerts.ts";
import { openCommit } from "./commitment.ts";
import { endIfCancelled, noticesWith, pushTold } from "./correction.ts";
import { deliverMessage, renewConnections, sendReceipt } from "./deliver.ts";
import { deliverStudy } from "./deliver-study.ts";
import { openDeliveryLoop, type Send } from "./delivery.ts";
import { query } from "./fetch.ts";
import { openHealthChecks } from "./health.ts";
import { identify } from "./identify.ts";
import { openInstanceIntake } from "./intake-instance.ts";
import { openMessageIntake } from "./intake-message.ts";
import { type Addresses, openListeners } from "./listeners.ts";
import { openMessages } from "./messages.ts";
import { change, notify } from "./notices.ts";
import { retrieve } from "./open.ts";
import { openPace } from "./pace.ts";
import { askPacs } from "./pull.ts";
import { type Listener, openReadiness } from "./readiness.ts";
import { openRecall } from "./recall.ts";
import { openReconciler } from "./reconcile.ts";
import { type Reloaded, reload } from "./reload.ts";
import { openRetention } from "./retention.ts";
import { type Provide, registerAll, routeSealed } from "./route.ts";
import { sealRecord } from "./seal.ts";
import { sealAnew } from "./seal-anew.ts";
import { pass, type Site } from "./site.ts";
import { type Assembled, openWaitingRoom } from "./waiting-room.ts";

const sends: Readonly<Record<Exclude<Delivery["kind"], "register">, Send>> = {
  change,
  push: pushTold,
  notify,
  fetch: query,
  retrieve,
  identify,
  receipt: sendReceipt,
  message: deliverMessage,
  study: deliverStudy,
};

export type Engine = {
  /** Addresses as bound: `admin`, and `mllp` or `dicom` of each system that listens. */
  readonly addresses: { readonly admin: string; readonly systems: Addresses };
  /** Octets and connections of all listeners of the site. */
  readonly limits: Required<Pick<Context, "held" | "places">>;
  /** Everything listens: `others` beside the engine's own. */
  opened(others: readonly Listener[]): void;
  /** Reads the configuration anew; CONFIG_INVALID when that changes nothing. */
  reload(): Reloaded;
  /** It is about to be stopped, and what listens beside it, too. */
  leave(): void;
  stop(): Promise<void>;
};

/** What stations of a site are told through it. */
export type Bound = Pick<Site, "wake" | "doubt">;

/** Starts the corridors of a site. `bind` receives who is woken and who doubts. */
export async function startEngine(site: Site, provide: Provide, bind: (bound: Bound) => void): Promise<Engine> {
  const reconciler = openReconciler(site);
  // Files that it names may be missing: found out before anything is sent.
  const retention = openRetention(site);
  const alerting = openAlerting(site, reconciler, retention.doubt);
  const pace = openPace();
  const loop = openDeliveryLoop(site, sends, { register: registerAll }, systemClock, pace.turn);
  const recall = openRecall(site);
  bind({ wake: loop.wake, doubt: recall.doubt });
  /** Behind the waiting room only what was assembled is sealed, and only a `Sealed` routed: no configuration can change the order. */
  const leave = async (assembled: Assembled): Promise<void> => {
    if (await endIfCancelled(site, assembled.document)) return;
    const channel = assembled.channel.name;
    const sealed = await pass(site, "seal", channel, () => sealRecord(site, assembled));
    await pace.turn();
    await pass(site, "route", channel, () => routeSealed(site, provide, sealed, () => noticesWith(site, sealed)));
  };
  const room = openWaitingRoom(site, leave, askPacs(site), pace);
  const messages = openMessageIntake(site, openMessages(site, room.arrived), pace);
  const instances = openInstanceIntake(site, room.arrived);
  const commit = openCommit(site, room.complete);

  const health = openHealthChecks(site);
  /** What waits is judged by the new rules. */
  const renew = (): Reloaded => {
    const reloaded = reload(site);
    renewConnections(site);
    room.lookAgain();
    sealAnew(site).catch((thrown: unknown) =>
      site.log("route.unchanged", { code: codeOf(thrown), reason: reasonOf(thrown) }, "error"),
    );
    loop.wake();
    return reloaded;
  };
  const readiness = openReadiness(site, reconciler, retention.doubt);
  const { held, connections } = site.config.own.limits;
  const limits = { held: openBudget(held), places: openPlaces(connections) };
  const listeners: (Listener & Running)[] = [];
  let admin: Admin | undefined;
  /** First nothing comes any more, then nothing leaves, then nobody looks. */
  const stop = async (): Promise<void> => {
    await Promise.all(listeners.map((listener) => listener.stop()));
    const parts = [health, room, loop, admin, readiness, alerting, reconciler, retention, recall];
    for (const part of parts) await part?.stop();
  };
  try {
    await messages.resume();
    await sealAnew(site);
    const context = { ...site, commit, ...limits };
    const systems = await openListeners(site, messages.intake, instances, context, (name, running) =>
      listeners.push({ name, ...running }),
    );
    const releases = { look: room.look, again: messages.again };
    admin = await openAdmin({ site, releases, reconciler, readiness, reload: renew, health: health.now });
    return {
      addresses: { admin: admin.address, systems },
      limits,
      reload: renew,
      leave: readiness.leave,
      opened: (others) => {
        readiness.opened([...listeners, ...others]);
        reconciler.begin();
        alerting.begin();
        retention.begin();
        recall.begin();
      },
      stop,
    };
  } catch (thrown) {
    await stop();
    throw thrown;
  }
}
