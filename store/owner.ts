/** Whose data folder it is: where one key opens two folders, nothing else keeps a house out of another's (decision 41). */
import { Fault } from "../errors.ts";
import type { StorageKeys } from "./keys.ts";
import { change, type Database } from "./sqlite.ts";
import type { Change } from "./store.ts";

export type House = {
  readonly name: string;
  /** Its name before. */
  readonly formerly?: string | undefined;
};

const where = "meta\0house\0value";

/** CONFIG_INVALID: the folder, or a backup of it, is another house's. `unnamed`: whose it is where it does not say so itself. */
export function checkOwner(
  house: House,
  db: Pick<Database, "get">,
  keys: StorageKeys,
  { what, unnamed }: { readonly what: string; readonly unnamed?: string },
): void {
  const { name, formerly } = house;
  const owner = ownerIn(db, keys) ?? unnamed;
  if (owner === undefined || owner === name || owner === formerly) return;
  throw new Fault(
    "CONFIG_INVALID",
    `${what} of ${owner}, and this is ${name}: give it one of its own, or, where the house was renamed, write "formerly: ${owner}" under sites.${name}`,
  );
}

/** What makes the folder this house's, where it is nobody's yet or was its own under its former name. */
export function ownedBy(house: House, db: Pick<Database, "get">, keys: StorageKeys, folder: string): readonly Change[] {
  checkOwner(house, db, keys, { what: `${folder} is the data folder` });
  if (ownerIn(db, keys) === house.name) return [];
  const sql =
    "INSERT INTO meta (name, value) VALUES ('house', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
  return [change(sql, keys.seal(where, Buffer.from(house.name)))];
}

function ownerIn(db: Pick<Database, "get">, keys: StorageKeys): string | undefined {
  const row = db.get("SELECT value FROM meta WHERE name = 'house'");
  return row && Buffer.from(keys.open(where, row.value as Uint8Array)).toString();
}
