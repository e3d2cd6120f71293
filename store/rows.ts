/** Rows and values: what is sealed on its way in and opened on its way out. */
import { drawn } from "./drawn.ts";
import type { StorageKeys } from "./keys.ts";
import type { Row } from "./sqlite.ts";
import type { Id } from "./store.ts";

const utf8 = new TextDecoder();

/** A value as sealed JSON; nothing is no octets. */
export const sealJson = (keys: StorageKeys, table: string, id: string, column: string, value: unknown): Uint8Array =>
  value === null || value === undefined
    ? nothing
    : keys.seal(`${table}\0${id}\0${column}`, Buffer.from(JSON.stringify(value)));
const nothing = new Uint8Array();

/** What `sealJson` sealed. */
export const openJson = (keys: StorageKeys, table: string, id: string, column: string, row: Row): unknown => {
  const sealed = row[column] as Uint8Array;
  return sealed.length === 0 ? null : parseJson(keys.open(`${table}\0${id}\0${column}`, sealed));
};

export const parseJson = (octets: Uint8Array): unknown => JSON.parse(utf8.decode(octets));

/** A column that is never null. */
export const text = (row: Row, column: string): string => String(row[column]);
export const textOrNull = (row: Row, column: string): string | null =>
  row[column] === null ? null : String(row[column]);

/** Before every id of this millisecond since 1970, which ids begin with, and behind those of earlier ones. */
export const firstId = (ms: number): Id => Math.max(0, Math.floor(ms)).toString(16).padStart(12, "0");

/** Time-ordered ids (48 bits of milliseconds, 80 random bits), never falling within a process, all greater than `before`. */
export function idSource(now: () => Date, random: (octets: number) => Buffer = drawn, before: Id = ""): () => Id {
  let last = before;
  return () => {
    const ms = now().getTime().toString(16).padStart(12, "0");
    let id = ms + random(10).toString("hex");
    // The clock stood still or went back: count on from the last one.
    if (id <= last) id = (BigInt(`0x${last}`) + 1n + BigInt(random(2).readUInt16BE())).toString(16).padStart(32, "0");
    last = id;
    return id;
  };
}
