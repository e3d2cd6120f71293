/** A store in a fresh folder for each test, and what tests put in it. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach } from "vitest";
import { openCipher, sealPart } from "../../envelope/index.ts";
import { checkAudit } from "../../store/audit-check.ts";
import { openStore, type StoreOptions } from "../../store/index.ts";
import type { ArrivalRow, Delivery, Store, WitnessedHead } from "../../store/store.ts";
import { wire } from "../envelope/people.ts";
import { arrivalRow, deliveryRow } from "./rows.ts";

export const key = Buffer.alloc(32, 5);
export let folder: string;
export let store: Store;

/** Opens it (again, after `store.close()`); from then on this is `store`. */
export async function open(change: Partial<StoreOptions> = {}): Promise<void> {
  store = await openStore({ folder, key, now: () => new Date(), ...change });
}
/** For each test of the file that calls this. */
export function freshStore(): void {
  beforeEach(async () => {
    folder = join(mkdtempSync(join(tmpdir(), "semrs-store-")), "data");
    await open();
  });
  afterEach(() => store.close().catch(() => undefined));
}

export const arrival = (change: Partial<ArrivalRow> = {}): ArrivalRow => arrivalRow(store.newId(), change);
export const delivery = (change: Partial<Delivery> = {}): Delivery => deliveryRow(store.newId(), change);

export async function put(bytes: Uint8Array): Promise<{ name: string; fresh: boolean }> {
  const part = sealPart(wire(bytes), "segments");
  const staged = await store.blobs.put(part.cipher, part.facts);
  await store.commit([staged.change]);
  return staged;
}

export async function clear(name: string): Promise<Buffer> {
  const pieces: Uint8Array[] = [];
  for await (const piece of openCipher(store.blobs.read(name), store.blobs.facts(name))) pieces.push(piece);
  return Buffer.concat(pieces);
}

/** The chain of the audit log, beside the heads that others hold of it. */
export const checked = (witnesses: readonly WitnessedHead[] = []) => checkAudit(folder, witnesses);
