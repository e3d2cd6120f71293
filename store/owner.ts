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

/** What makes the folder this house's, where it is nobody's yet or was its own under its former name. CONFIG_INVALID: it is another's. */
export function ownedBy(
  { name, formerly }: House,
  db: Pick<Database, "get">,
  keys: StorageKeys,
  folder: string,
): readonly Change[] {
  const row = db.get("SELECT value FROM meta WHERE name = 'house'");
  const owner = row && Buffer.from(keys.open(where, row.value as Uint8Array)).toString();
  if (owner === name) return [];
  if (owner !== undefined && owner !== formerly)
    throw new Fault(
      "CONFIG_INVALID",
      `${folder} is the data folder of ${owner}, and this is ${name}: give it one of its own, or, where the house was renamed, write "formerly: ${owner}" under sites.${name}`,
    );
  const sql =
    "INSERT INTO meta (name, value) VALUES ('house', ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value";
  return [change(sql, keys.seal(where, Buffer.from(name)))];
}
