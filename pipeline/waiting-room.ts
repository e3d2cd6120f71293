/** The waiting room of station `assemble`: looks at a document when something it waits for may have happened. Restart-safe. */
import type { Session } from "../connectors/connector.ts";
import { codeOf, reasonOf } from "../errors.ts";
import type { Id, Item } from "../store/store.ts";
import { type Assembled, aheadOf, type Decision, decide, decideLate, type Waiting, waitedBy } from "./assemble.ts";
import { openAssociations } from "./associations.ts";
import { outboundChannels } from "./channels.ts";
import { openShown } from "./clock-jumps.ts";
import type { OutboundChannel } from "./config.ts";
import { studiesOf } from "./joins.ts";
import { openLanes } from "./lanes.ts";
import { asMerged, goneWith, isTakenBack, lateTo } from "./late.ts";
import type { Pace } from "./pace.ts";
import { openPatientOrder } from "./patient-order.ts";
import type { AskPacs } from "./pull.ts";
import { actOnNote, isKeyObjects, stopRejected } from "./rejection-note.ts";
import { standsFor, travels } from "./replacement.ts";
import { type Site, step } from "./site.ts";
import { openStudyQuestions } from "./study-questions.ts";
import { type Look, openTimetable } from "./timetable.ts";
import type { DocumentFacts } from "./validate.ts";
import { waitingInstances } from "./waiting-pages.ts";

export type { Assembled } from "./assemble.ts";

export type WaitingRoom = {
  /** Something was kept: look at what it concerns. `session` is the association it came on. */
  arrived(item: Item, session?: Session): void;
  /**
   * A sender listed instances that belong together (storage commitment): if all of them are here, their studies are
   * complete and the quiet period ends.
   */
  complete(sopInstanceUids: readonly string[]): Promise<void>;
  /** A person released a held item: look again. */
  look(item: Item): void;
  /** The rules have changed: look at everything that waits. */
  lookAgain(): void;
  stop(): Promise<void>;
};

/** So long after the last instance of a study, and the end of what sent it, a channel goes by associations. */
const heardMs = ({ assemble }: OutboundChannel): number => (assemble ? assemble.study.open + assemble.study.quiet : 0);

const maxDocuments = 1_000_000;
/** Documents that leave at once. */
const maxAlone = 8;
/** A look that failed for a passing reason is repeated after this long. */
const retryMs = 5_000;
/** How soon a study is looked at whose number of instances is known to be reached sometime. */
const countedMs = 1_000;
const sweepMs = 3_600_000;

/** Opens the waiting room with everything that waited when the site stopped. `leave` seals and routes what is assembled. */
export function openWaitingRoom(
  site: Site,
  leave: (assembled: Assembled) => Promise<void>,
  pacs: AskPacs,
  pace: Pace,
): WaitingRoom {
  const { store } = site;
  const associations = openAssociations(Date.now, () => performance.now());
  const shown = openShown();
  const questions = openStudyQuestions(site, pacs);
  let isStopped = false;
  const deferred = (thrown: unknown): number => {
    site.log("assemble.deferred", { code: codeOf(thrown), reason: reasonOf(thrown) }, "warn");
    return Date.now() + retryMs;
  };
  const table = openTimetable(deferred);
  const order = openPatientOrder();
  const alone = openLanes({ perSender: maxAlone, total: maxAlone });
  const leaving = new Set<Promise<void>>();

  const channelOf = (item: Item): OutboundChannel | undefined =>
    outboundChannels(site.config).find(({ name }) => name === item.channel);

  const gather = (document: Item, channel: OutboundChannel): Waiting => {
    const all = channel.assemble ? store.items.joined("instance", document.joins).filter(travels) : [];
    // Where a corrected instance waits, the one that has gone under its UID is not sent again.
    const instances = [...new Map(all.map((instance) => [instance.key, instance])).values()];
    const uids = studiesOf([document, ...instances]);
    return {
      document: asMerged(site, document),
      instances,
      rules: channel.assemble,
      patient: channel.validate.study.patient,
      heard: associations.heard(uids),
      studies: uids.map(store.studies.find),
    };
  };

  /** A document that waits, or (`appends`) the late instances of one that has gone. */
  const lookAt = async (key: string, id: string, appends: boolean): Promise<number | undefined> => {
    const document = store.items.find(id);
    const channel = document && channelOf(document);
    if (!document || !channel || document.state !== (appends ? "sealed" : "waiting")) return undefined;
    // What was to follow a report that was cancelled goes with another one of its study, or waits for the next.
    if (appends && isTakenBack(site, document)) {
      for (const late of lateTo(site, document)) lookAtDocumentsOf(late, Date.now());
      return undefined;
    }
    if (questions.isAsking(key)) return undefined;
    const waiting = gather(document, channel);
    const ahead = aheadOf(waiting, Date.now());
    if (ahead.length > 0) return await fromNow(ahead);
    const decision = (appends ? decideLate : decide)(waitedBy(waiting, shown), Date.now());
    if (!decision) return undefined;
    if (decision.now === "wait") return decision.until;
    if (decision.now === "hold") {
      await hold(decision);
      // Late images beside those that are held now go on.
      return Date.now();
    }
    if (decision.now === "go" && (await stopRejected(site, decision.instances))) return Date.now();
    const behind = decision.now === "go" && !appends ? dueBehindAddendum(decision.instances) : undefined;
    if (behind !== undefined) return behind;
    if (decision.now === "go")
      return void (await go({ ...decision, channel, document, appends } as Partial<Assembled> as Assembled));
    const again = (at: number): void => table.by(key, at, lookFor(key, id, appends));
    questions.ask(
      key,
      { document, channel, ...decision },
      () => again(Date.now()),
      (thrown) => again(deferred(thrown)),
    );
    return undefined;
  };
  /** What came while the clock was ahead would wait until it is so late: it waits from now on. */
  const fromNow = async (items: readonly Item[]): Promise<number> => {
    const since = site.now().toISOString();
    await store.commit(items.map(({ id }) => store.items.mark(id, { since })));
    return Date.now();
  };
  const lookFor =
    (key: string, id: string, appends: boolean): Look =>
    () =>
      lookAt(key, id, appends);

  /** That a corrected instance stands for one that has gone is said in an addendum: a second report follows that. */
  const dueBehindAddendum = (instances: readonly Item[]): number | undefined => {
    const corrected = instances.find((instance) => standsFor(site, instance).length > 0);
    const gone = corrected && goneWith(site, corrected);
    const channel = gone && channelOf(gone);
    const decision = channel && decideLate(waitedBy(gather(gone, channel), shown), Date.now());
    if (!gone || !decision) return undefined;
    const due = decision.now === "wait" ? decision.until : Date.now();
    lookLate(gone, due);
    return due + countedMs;
  };

  /** The station's own figure is how long the document waited. */
  const go = async (assembled: Assembled): Promise<void> => {
    const { channel, document, instances } = assembled;
    const ms = Date.now() - Date.parse(document.since);
    site.metrics.passed("assemble", channel.name, "ok", ms);
    site.log("assemble.assembled", { channel: channel.name, message: document.id, count: instances.length, ms });
    await leave(assembled);
  };

  const hold = async ({ code, reason, items }: Omit<Extract<Decision, { now: "hold" }>, "now">): Promise<void> => {
    const since = site.now().toISOString();
    await store.commit(
      items.flatMap(({ id }) => [
        store.items.mark(id, { state: "held", code, reason, since }),
        step(site, id, "assemble", "held", { code }),
      ]),
    );
    const [first] = items;
    if (!first) return;
    site.metrics.passed("assemble", first.channel, code, 0);
    const fields = { channel: first.channel, message: first.id, code, reason, count: items.length };
    site.log("assemble.held", fields, "error");
  };

  /** Looks by `due` at every document that an instance may belong to. */
  const lookAtDocumentsOf = (instance: Item, due: number): undefined => {
    if (isStopped) return;
    const documents = store.items.joined("document", instance.joins);
    for (const { id } of documents.filter(({ state }) => state === "waiting"))
      table.by(id, due, lookFor(id, id, false));
    const gone = goneWith(site, instance, documents);
    if (gone) lookLate(gone, due);
  };
  const lookLate = ({ id }: Item, due: number): void => table.by(`late:${id}`, due, lookFor(`late:${id}`, id, true));

  /** What waits for no study leaves beside those of other patients: several share a commit. Of one patient it is one after the other. */
  const leaveAlone = (id: Id, patients: readonly string[]): void => {
    const turn = order.enter([id, ...patients]);
    const look = lookFor(id, id, false);
    const since = pace.now();
    const left = turn.ready
      .then(() => alone.enter(""))
      .then(async (giveBack) => {
        await pace.quiet(since);
        const again = isStopped ? undefined : await look().catch(deferred);
        if (again !== undefined) table.by(id, again, look);
        giveBack();
        turn.leave();
      })
      .finally(() => leaving.delete(left));
    leaving.add(left);
  };
  const waitsForNothing = (document: Item): boolean =>
    !channelOf(document)?.assemble || !(document.facts as DocumentFacts).refers;

  const arrived = (item: Item, session?: Session): void => {
    if (item.state !== "waiting" || isStopped) return;
    if (item.kind === "document") {
      if (waitsForNothing(item)) leaveAlone(item.id, item.patients);
      else table.by(item.id, Date.now(), lookFor(item.id, item.id, false));
      return;
    }
    for (const study of session ? studiesOf([item]) : [])
      if (session) associations.sends(study, session, () => lookAtDocumentsOf(item, dueAfter(item)));
    if (isKeyObjects(item)) table.by(`note:${item.id}`, Date.now(), () => lookAtNote(item.id));
    // One look for all instances of a study that come until then.
    const look = async (): Promise<undefined> => lookAtDocumentsOf(item, Date.now());
    table.by(`study:${item.channel} ${item.joins.join()}`, dueAfter(item), look);
  };

  /** Once it may be quiet, or soon where a count may be reached sooner; never once an instance, or a study would cost its square. */
  const dueAfter = (item: Item): number => {
    const rules = channelOf(item)?.assemble?.study;
    return Date.now() + Math.min(rules?.quiet ?? 0, rules?.expect ? countedMs : sweepMs);
  };

  const lookAtNote = async (id: string): Promise<undefined> => {
    const note = store.items.find(id);
    if (note && (await actOnNote(site, note))) lookAtDocumentsOf(note, Date.now());
  };

  const complete = async (sopInstanceUids: readonly string[]): Promise<void> => {
    const items = sopInstanceUids.map((uid) => store.items.byKey("instance", uid).find(travels));
    const here = items.filter((item) => item !== undefined);
    if (here.length === 0 || here.length < items.length) return;
    const byStudy = Map.groupBy(here, (item) => studiesOf([item])[0] ?? "");
    byStudy.delete("");
    const whole = [...byStudy].filter(([uid, listed]) => !isPiecemeal(uid, listed));
    await store.commit(whole.map(([uid]) => store.studies.mark(uid, { completeAt: Date.now() })));
    for (const [, [item]] of whole) if (item) lookAtDocumentsOf(item, Date.now());
  };

  /** Many a modality asks after each instance: one that is not alone in its study, or may not stay so, tells nothing of the whole. */
  const isPiecemeal = (study: string, listed: readonly Item[]): boolean => {
    const [only, another] = listed;
    if (!only || another) return false;
    if (associations.heard([study]).isOpen) return true;
    return store.items.joined("instance", [`study:${study}`]).some((item) => item.key !== only.key && travels(item));
  };

  /** A study that no document ever referred to is a person's business after `document.wait`. */
  const sweep = async (): Promise<number> => {
    associations.forget(Math.max(sweepMs, ...outboundChannels(site.config).map(heardMs)));
    const orphans = new Map<string, Item[]>();
    for await (const item of waitingInstances(store, () => isStopped)) {
      const wait = channelOf(item)?.assemble?.document.wait;
      if (wait === undefined || shown(Date.parse(item.since)) + wait >= Date.now()) continue;
      const study = studiesOf([item])[0] ?? item.id;
      const items = orphans.get(study) ?? [];
      items.push(item);
      orphans.set(study, items);
    }
    for (const studied of orphans.values()) {
      // What has gone meanwhile is not held.
      const items = studied.filter(({ id }) => store.items.find(id)?.state === "waiting");
      await hold({ items, code: "DOCUMENT_MISSING", reason: "no document ever referred to this study" });
    }
    return Date.now() + sweepMs;
  };

  /** One of each study, and all that may be rejection notes. */
  const lookAtInstances = async (): Promise<undefined> => {
    const known = new Set<string>();
    for await (const item of waitingInstances(store, () => isStopped)) {
      const joins = item.joins.join();
      if (isKeyObjects(item) || !known.has(joins)) arrived(item);
      known.add(joins);
    }
  };
  /** Documents at once, so that none that comes now overtakes one of its patient. */
  const lookAgain = (): void => {
    for (const item of store.items.list({ state: "waiting", kind: "document", limit: maxDocuments })) arrived(item);
    table.by("again", Date.now(), lookAtInstances);
  };
  lookAgain();
  table.by("sweep", Date.now(), sweep);
  return {
    arrived,
    complete,
    look: (item) => arrived(item),
    lookAgain,
    stop: async () => {
      isStopped = true;
      await table.stop();
      await Promise.all(leaving);
      await questions.stop();
    },
  };
}
