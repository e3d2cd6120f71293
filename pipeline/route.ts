/** Station `route`: a sealed record to the own repository, and from there to the registry and to partners (paper steps 2 and 3). */
import { hash } from "node:crypto";
import { ownerOf } from "../envelope/identity.ts";
import { contentOf, verifyReceipt } from "../envelope/index.ts";
import { codeOf, Fault } from "../errors.ts";
import { commandMediaType, writeCommand } from "../formats/command.ts";
import type { DocumentEntry } from "../formats/document-entry.ts";
import type { Change, Delivery, Id, StoredRecord, Token } from "../store/store.ts";
import { recordPatient } from "./audited.ts";
import type { Sent } from "./delivery.ts";
import { type Asked, ask, partOne } from "./partner.ts";
import type { PushPayload } from "./relation.ts";
import type { ProvidedPart, Sealed } from "./seal.ts";
import { msSince, type Site, step } from "./site.ts";
import { bySlices } from "./slices.ts";

/** What the own repository takes: injected, since the pipeline does not know the REST services. */
export type Provide = (record: {
  readonly id: Id;
  readonly channel: string;
  readonly manifest: Uint8Array;
  readonly signature: Uint8Array;
  readonly key: Token;
  readonly parts: readonly ProvidedPart[];
  readonly patients: readonly Token[];
  readonly entry: unknown;
  readonly createdAt: string;
  readonly also: readonly Change[];
}) => Promise<void>;

/** How often a record is tried to be kept while `more` finds more. */
const maxLooks = 4;

/** Record, registration, pushes, the items' end of waiting, and `more` are one commit; `more` is asked again where that finds a conflict. */
export async function routeSealed(
  site: Site,
  provide: Provide,
  sealed: Sealed,
  more: () => readonly Change[] = () => [],
): Promise<void> {
  const { store, now, config, log } = site;
  const { id, channel, manifest, signature, key, parts, patients, entry, relation, bytes } = sealed;
  const related = [...entry.relatedDocuments, ...(relation ? [relation] : [])];
  const createdAt = now().toISOString();
  const started = performance.now();
  const registration = (to: string): Change =>
    store.deliveries.add({ ...newDelivery(site, "register", channel.name, to), record: id });
  const pushTo = (to: string): Change => {
    const payload: PushPayload | null = relation ? { relation } : null;
    const order = pushOrder(site, key, related, to);
    return store.deliveries.add({ ...newDelivery(site, "push", channel.name, to), record: id, order, payload });
  };
  const also = [
    ...sealed.steps,
    step(site, id, "route", "provided", { peer: config.site, ...(channel.route.includes("none") ? shadow : {}) }),
    ...store.items.seal(sealed.items, id),
    ...channel.route
      .filter((to) => to !== "none")
      .map((to) => (to === "repository" ? registration(config.registryPartner) : pushTo(to))),
  ];
  if (channel.route.includes("none")) also.push(store.records.mark(id, shadow));
  const record = { id, channel: channel.name, manifest, signature, key, parts, patients, entry, createdAt };
  const provided = async (looks = 1): Promise<boolean> => {
    const added = more();
    try {
      await provide({ ...record, also: [...added, ...also] });
      return added.length > 0;
    } catch (thrown) {
      const code = codeOf(thrown);
      if (code === "STORE_CONFLICT" && added.length > 0 && looks < maxLooks) return await provided(looks + 1);
      // Whether a store that fails has committed it is not known.
      if (code !== "STORE_DAMAGED") await sealed.drop();
      throw thrown;
    }
  };
  const isAlone = !(await provided());
  log("route.provided", {
    channel: channel.name,
    message: id,
    peer: config.site,
    count: parts.length,
    bytes,
    ms: msSince(started),
  });
  const isForRegistry = isAlone && channel.route.every((to) => to === "repository");
  site.wake(isForRegistry ? { kind: "register", destination: config.registryPartner } : undefined);
}

/** A document goes to a partner behind what it replaces or is added to: as that one does, or would. */
function pushOrder(
  { store }: Site,
  key: Token,
  related: DocumentEntry["relatedDocuments"],
  destination: string,
): Token {
  const before = related.find(({ type }) => type !== "XFRM");
  if (!before) return key;
  const about = store.tokens.of("document", "", before.uniqueId);
  const pushes = store.records
    .byKey(about)
    .filter(({ origin }) => origin === "own")
    .flatMap(({ id }) => store.deliveries.list({ record: id, limit: maxPushes }))
    .filter((each) => each.kind === "push" && each.destination === destination);
  return pushes[0]?.order ?? about;
}
/** Deliveries of one record that are looked through. */
const maxPushes = 1_000;

/** `route: [none]`: kept, and nobody is told (the registry neither). */
const shadow = { code: "SHADOW" } as const;

/** A delivery that is due now. */
export function newDelivery(site: Site, kind: Delivery["kind"], channel: string, destination: string): Delivery {
  const at = site.now();
  const id = site.store.newId();
  const fresh = {
    state: "queued",
    attempts: 0,
    due: at.getTime(),
    code: null,
    reason: null,
    createdAt: at.toISOString(),
  } as const;
  return { id, kind, channel, destination, order: null, record: null, payload: null, ...fresh };
}

/** Step 3: entries go to the registry until it has signed that it holds them. All or none of them: one submission, one receipt. */
export async function registerAll(
  site: Site,
  deliveries: readonly Delivery[],
  turn: () => Promise<void>,
): Promise<readonly Sent[]> {
  const { store, log } = site;
  const records = await bySlices(deliveries, turn, (delivery) => recordOf(site, delivery));
  const [[delivery], [record]] = [deliveries, records];
  if (!delivery || !record) return [];
  const started = performance.now();
  const message = messageOf(deliveries);
  const command = writeCommand<"register">({
    command: "register",
    submissionSet: records.length === 1 ? record.id : message,
    entries: records.map(({ entry, manifestSha256 }) => ({ entry: entry as DocumentEntry, manifestSha256 })),
  });
  const { destination: peer } = delivery;
  const asked = await ask(site, peer, {
    path: "/registry/submissions",
    purpose: "register",
    message,
    messageType: "register",
    content: [await contentOf(command, "command", commandMediaType)],
    answers: ["receipt"],
  });
  const names = records.map(({ manifestSha256 }) => manifestSha256);
  const receipt = await receiptOf(site, delivery, asked, names);
  const ms = msSince(started);
  return await bySlices(records, turn, ({ id, channel, entry }, n): Sent => {
    log("route.registered", { channel, message: id, peer, bytes: asked.bytes, count: records.length, ms });
    const changes = [
      ...(n === 0 ? asked.kept : []),
      ...store.records.attach(id, { kind: "registered", from: peer, receipt, isOfSeveral: records.length > 1 }),
      store.records.mark(id, { state: "registered" }),
    ];
    const audit = { patients: recordPatient(site, { entry }), manifest: asked.manifestSha256 };
    return { changes, event: "registered", answer: "receipt verified", audit };
  });
}

/** The same deliveries together are one message, however often they are sent; a delivery alone is the message. */
function messageOf(deliveries: readonly Delivery[]): Id {
  const ids = deliveries.map(({ id }) => id);
  const [first = ""] = ids;
  const digest = hash("sha256", ids.join());
  // Times of ids stay in front: what is kept by message is kept in order.
  return ids.length === 1 ? first : first.slice(0, 12) + digest.slice(0, 20);
}

/** A receipt counts from the one who was asked, for what was sent (and, from a registry, for the records it names). */
export async function receiptOf(
  site: Site,
  { destination, record }: Delivery,
  { answer, manifestSha256 }: Asked,
  names?: readonly string[],
): Promise<Uint8Array> {
  if (!answer) throw new Fault("PEER_REFUSED", `${destination} answered without a receipt`);
  const bytes = await partOne(answer);
  const { identity, now } = site;
  const { receipt, org } = verifyReceipt(bytes, {
    trust: identity.trust,
    now: now(),
    partner: (sha256) => ownerOf(identity, sha256),
  });
  const isForThis = names ? names.every((name) => receipt.names.includes(name)) : receipt.message === record;
  // A repetition is answered with the first receipt, which names the first envelope's manifest: the message binds it.
  if (org !== destination || receipt.to !== identity.org || receipt.verdict !== "stored" || !isForThis) {
    throw new Fault(
      "PEER_REFUSED",
      `the receipt of ${destination} is not for what was sent (${manifestSha256.slice(0, 8)})`,
    );
  }
  return bytes;
}

/** The record that a delivery is about. */
export function recordOf(site: Site, { record: id }: Delivery): StoredRecord {
  const record = id === null ? undefined : site.store.records.find(id);
  if (!record)
    throw new Fault("STORE_DAMAGED", "the record of this delivery is not in the store; restore it from a backup");
  return record;
}
