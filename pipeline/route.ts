/** Station `route`: a sealed record to the own repository, and from there to the registry and to partners (paper steps 2 and 3). */
import { hash } from "node:crypto";
import { legacyOf, ownerOf } from "../envelope/identity.ts";
import { contentOf, keptReceipt, readManifest, verifyReceipt } from "../envelope/index.ts";
import { packSigned, type SignedManifest } from "../envelope/signed-manifest.ts";
import { codeOf, Fault } from "../errors.ts";
import { commandMediaType, writeCommand } from "../formats/command.ts";
import type { DocumentEntry } from "../formats/document-entry.ts";
import type { Change, Delivery, Id, StoredRecord, Token } from "../store/store.ts";
import { recordPatient } from "./audited.ts";
import type { Sent } from "./delivery.ts";
import { pushLegacy } from "./legacy-push.ts";
import { type Asked, ask, partOne } from "./partner.ts";
import { type PushPayload, tellRelation } from "./relation.ts";
import { contentOfBlob, type ProvidedPart, type Sealed } from "./seal.ts";
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

/** A record to a partner on our own account: sealed for it now, from the parts as they are. */
export async function push(site: Site, delivery: Delivery): Promise<Sent> {
  const { store, log } = site;
  const record = recordOf(site, delivery);
  if (record.code === "CANCELLED") {
    const reason = "its report was cancelled";
    return { changes: [], event: "dropped", answer: reason, ended: { state: "discarded", code: record.code, reason } };
  }
  const legacy = legacyOf(site.identity, delivery.destination, store.legacy.hasEnded);
  if (legacy) return await pushLegacy(site, record, legacy);
  const started = performance.now();
  const before = delivery.state === "ambiguous" ? await askStatus(site, delivery.destination, record.id) : undefined;
  const isTold = before !== undefined || (await tellRelation(site, delivery, record));
  const asked = before ?? (await sendRecord(site, delivery, record));
  const receipt = await receiptOf(site, delivery, asked);
  const { bytes } = asked;
  log("route.pushed", {
    channel: record.channel,
    message: record.id,
    peer: delivery.destination,
    bytes,
    ms: msSince(started),
  });
  const changes = [...asked.kept, ...attachedPush(site, delivery.destination, record.id, receipt, asked.request)];
  const answer = `receipt verified${before ? ", asked for again" : ""}${isTold ? "" : ", its relation was not taken"}`;
  const audit = { patients: recordPatient(site, record), manifest: asked.manifestSha256 };
  return { changes, event: "pushed", answer, audit };
}

/** The partner's receipt, and the manifest that it names where that is of what was sent just now: the record's own says nothing of whom it was pushed to. */
function attachedPush(
  { store: { records } }: Site,
  from: string,
  record: Id,
  receipt: Uint8Array,
  request: SignedManifest,
): readonly Change[] {
  const stored = records.attach(record, { kind: "stored", from, receipt });
  if (keptReceipt(receipt).manifestSha256 !== hash("sha256", request.manifest)) return stored;
  return [...stored, ...records.attach(record, { kind: "push", from, receipt: packSigned(request) })];
}

function sendRecord(site: Site, delivery: Delivery, record: StoredRecord): Promise<Asked> {
  const manifest = readManifest(record.manifest);
  const content = record.parts.map(({ n, blob }) => {
    const entry = manifest.parts.find((part) => part.n === n);
    if (!entry || !("role" in entry)) throw new Fault("STORE_DAMAGED", `part ${n} is not in the record's manifest`);
    return contentOfBlob(site, blob, {
      role: entry.role,
      type: entry.type,
      ...("sop" in entry && entry.sop ? { sop: entry.sop } : {}),
    });
  });
  return ask(site, delivery.destination, {
    path: "/repository/documents",
    purpose: "push",
    message: record.id,
    messageType: manifest.headers["X-EEC-MessageType"],
    content,
    answers: ["receipt"],
  });
}

/** After a lost answer: what the partner answered to this message, if it got it. One that cannot say is sent it again. */
async function askStatus(site: Site, destination: string, message: Id): Promise<Asked | undefined> {
  const asked = await ask(site, destination, {
    path: "/repository/status",
    purpose: "status",
    message: site.store.newId(),
    messageType: "status",
    content: [await contentOf(writeCommand<"status">({ command: "status", message }), "command", commandMediaType)],
    answers: ["receipt", "response"],
  }).catch((thrown: unknown) => {
    if (codeOf(thrown) === "PEER_REFUSED") return undefined;
    throw thrown;
  });
  return asked?.answer?.manifest.purpose === "receipt" ? asked : undefined;
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
