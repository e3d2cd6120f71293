/** A record to a partner on our own account: sealed for it now, receipted by it, and what was sent kept as evidence. */
import { hash } from "node:crypto";
import { legacyOf } from "../envelope/identity.ts";
import { contentOf, keptReceipt, readManifest } from "../envelope/index.ts";
import { packSigned, type SignedManifest } from "../envelope/signed-manifest.ts";
import { codeOf, Fault } from "../errors.ts";
import { commandMediaType, writeCommand } from "../formats/command.ts";
import type { Change, Delivery, Id, StoredRecord } from "../store/store.ts";
import { recordPatient } from "./audited.ts";
import type { Sent } from "./delivery.ts";
import { pushLegacy } from "./legacy-push.ts";
import { type Asked, ask } from "./partner.ts";
import { tellRelation } from "./relation.ts";
import { receiptOf, recordOf } from "./route.ts";
import { contentOfBlob } from "./seal.ts";
import { msSince, type Site } from "./site.ts";

/** Sealed for it now, from the parts as they are. */
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
  const { manifestSha256, request } = asked;
  const isOfThis = keptReceipt(receipt).manifestSha256 === manifestSha256;
  const changes = [
    ...asked.kept,
    ...store.records.attach(record.id, { kind: "stored", from: delivery.destination, receipt }),
    ...(isOfThis ? pushKept(site, delivery.destination, record.id, { ...request, manifestSha256 }) : []),
  ];
  const answer = `receipt verified${before ? ", asked for again" : ""}${isTold ? "" : ", its relation was not taken"}`;
  const audit = { patients: recordPatient(site, record), manifest: asked.manifestSha256 };
  return { changes, event: "pushed", answer, audit };
}

type Pushed = SignedManifest & { readonly manifestSha256: string };

/** The manifest of a push: the record's own says nothing of whom it was pushed to. Of smime-4 the headers, which alone prove nothing. */
const pushKept = (
  { store: { records } }: Site,
  from: string,
  record: Id,
  { manifestSha256, ...signed }: Pushed,
): readonly Change[] =>
  hash("sha256", signed.manifest) === manifestSha256
    ? records.attach(record, { kind: "push", from, receipt: packSigned(signed) })
    : [];

/** Where the answer is lost, what was sent is kept: the receipt that the partner is asked for later names that. */
async function sendRecord(site: Site, { destination }: Delivery, record: StoredRecord): Promise<Asked> {
  let sent: Pushed | undefined;
  try {
    return await sendSealed(site, destination, record, (pushed) => {
      sent = pushed;
    });
  } catch (thrown) {
    const kept = sent && codeOf(thrown) === "PEER_AMBIGUOUS" ? pushKept(site, destination, record.id, sent) : [];
    // A store that fails now fails at the attempt's mark as well: that the partner may have it counts more here.
    if (kept.length > 0) await site.store.commit(kept).catch(() => undefined);
    throw thrown;
  }
}

function sendSealed(
  site: Site,
  destination: string,
  record: StoredRecord,
  sealed: (pushed: Pushed) => void,
): Promise<Asked> {
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
  return ask(site, destination, {
    path: "/repository/documents",
    purpose: "push",
    message: record.id,
    messageType: manifest.headers["X-EEC-MessageType"],
    content,
    answers: ["receipt"],
    sealed,
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
