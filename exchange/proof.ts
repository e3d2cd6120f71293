/** Proof of delivery at the house that a record came from: whose it is, of which record, and what is kept of it. */
import { ownerOf } from "../envelope/identity.ts";
import { type AnyOpened, keptReceipt, type Receipt, verifyReceipt } from "../envelope/index.ts";
import { Fault } from "../errors.ts";
import { isUnderWay } from "../store/delivery.ts";
import type { Evidence, Store, StoredRecord } from "../store/store.ts";
import type { Answer } from "./answers.ts";
import { part1, seen } from "./once.ts";
import type { Exchange } from "./server.ts";

/** Proof of delivery from the house that retrieved or was pushed a record (after step 7). */
export async function takeProof(exchange: Exchange, opened: AnyOpened): Promise<Answer> {
  const { identity, store, now, log } = exchange;
  const bytes = await part1(opened);
  const { receipt, org } = verifyReceipt(bytes, {
    trust: identity.trust,
    now: now(),
    partner: (sha256) => ownerOf(identity, sha256),
  });
  const houses = [org, ...(identity.partners.get(org)?.relays ?? [])];
  // Looked up first: the store's writer is a thread of its own, and may commit the answer to a push between two looks.
  const isPushed = org === opened.org && isBeingPushed(store, receipt, houses);
  const record = receipted(store, receipt, houses);
  if (!record && isPushed)
    throw new Fault("PEER_BUSY", "the answer to the push that this proves is not here yet; send it again");
  if (org !== opened.org || !record || receipt.verdict !== "delivered") {
    throw new Fault("NOT_PERMITTED", "a receipt counts only from the one who was answered, for a record of ours");
  }
  // Its answer was lost: what the first one says stands.
  if (store.records.evidence(record.id).some(({ kind, from }) => kind === "delivered" && from === org)) {
    await store.commit(seen(store, opened));
    return { status: 204 };
  }
  await store.commit([
    ...store.records.attach(record.id, { kind: "delivered", from: org, receipt: bytes }),
    ...seen(store, opened),
    store.steps.add({
      subject: record.id,
      at: now().toISOString(),
      station: "repository",
      event: "receipted",
      peer: org,
      detail: (receipt.outcomes ?? []).map(({ system, answer }) => `${system} ${answer}`).join(", ") || null,
    }),
    ...store.audit.add({ event: "proof", subject: record.id, peer: org, manifest: opened.manifestSha256 }),
  ]);
  log("repository.receipted", { peer: org, message: record.id });
  return { status: 204 };
}

/** A partner may have delivered what it was pushed before its answer to the push is committed here, or when that was lost. */
function isBeingPushed(store: Store, { message }: Receipt, houses: readonly string[]): boolean {
  const pushes = store.records.find(message) ? store.deliveries.list({ record: message, limit: maxPushes }) : [];
  return pushes.some((each) => each.kind === "push" && houses.includes(each.destination) && isUnderWay(each));
}

/** Deliveries of one record that are looked at. */
const maxPushes = 1_000;

/** The step of a record that was asked for. */
const released = "repository released";

/**
 * The record of ours that a receipt is for, where one of the houses was handed it: it asked for the record, whose own manifest the
 * receipt names, or it took our push, whose manifest its answer named.
 */
function receipted(store: Store, receipt: Receipt, houses: readonly string[]): StoredRecord | undefined {
  const handed = ({ id }: StoredRecord, kind: Evidence["kind"]): readonly Evidence[] =>
    store.records.evidence(id).filter((each) => each.kind === kind && houses.includes(each.from));
  const own = receipt.names.map((name) => store.records.byManifest(name)).find((found) => found?.origin === "own");
  const record = own ?? store.records.find(receipt.message);
  if (!record) return undefined;
  const took = handed(record, "stored");
  // What it was asked with is kept beside the record; of what was asked before that was so, its step tells.
  const isReleased = ({ id }: StoredRecord): boolean =>
    store.steps
      .of([id])
      .some(({ station, event, peer }) => `${station} ${event}` === released && houses.includes(peer ?? ""));
  if (own) return took.length > 0 || handed(own, "request").length > 0 || isReleased(own) ? own : undefined;
  const named = took.map((each) => keptReceipt(each.receipt).manifestSha256);
  return receipt.names.some((name) => named.includes(name)) ? record : undefined;
}
