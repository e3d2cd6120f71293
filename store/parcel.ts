/**
 * Commits on their way to the writer's thread: one flat list and one piece of memory, which is handed over and not copied. Each object,
 * name of a property and buffer that is cloned between threads costs more than what is in it.
 */
import type { SQLInputValue } from "node:sqlite";
import type { Commit } from "./group-commit.ts";
import type { Statement } from "./sqlite.ts";

type Value = string | number | bigint | null | undefined;

export type Parcel = {
  /** Statements that come for the first time: their numbers go on from the last. */
  readonly texts: readonly string[];
  /**
   * Of each commit: n, how many acceptances, id and digest of each; how many statements, and of each its number, how many values,
   * and these. A value that is octets is `undefined` and how many; they are the next in `octets`.
   */
  readonly list: readonly Value[];
  readonly octets: Uint8Array<ArrayBuffer>;
};

/** Packs for one writer: it is told each statement once. */
export function openPacker(): (commits: readonly Commit[]) => Parcel {
  const numbers = new Map<string, number>();
  return (commits) => {
    const texts: string[] = [];
    const list: Value[] = [];
    const pieces: Uint8Array[] = [];
    let size = 0;
    const numberOf = (sql: string): number => {
      const known = numbers.get(sql);
      if (known !== undefined) return known;
      texts.push(sql);
      numbers.set(sql, numbers.size);
      return numbers.size - 1;
    };
    for (const { n, accepted, statements } of commits) {
      list.push(n, accepted.length);
      for (const { id, digest } of accepted) list.push(id, digest);
      list.push(statements.length);
      for (const { sql, params } of statements) {
        list.push(numberOf(sql), params.length);
        for (const param of params) {
          if (!ArrayBuffer.isView(param)) list.push(param);
          else {
            list.push(undefined, param.byteLength);
            pieces.push(new Uint8Array(param.buffer, param.byteOffset, param.byteLength));
            size += param.byteLength;
          }
        }
      }
    }
    const octets = Buffer.allocUnsafeSlow(size);
    let at = 0;
    for (const piece of pieces) {
      octets.set(piece, at);
      at += piece.length;
    }
    return { texts, list, octets };
  };
}

/** The other end: parcels are opened in the order they were packed. */
export function openUnpacker(): (parcel: Parcel) => readonly Commit[] {
  const known: string[] = [];
  return ({ texts, list, octets }) => {
    for (const text of texts) known.push(text);
    let [at, octet] = [0, 0];
    const next = <T>(): T => {
      const value = list[at] as T;
      at += 1;
      return value;
    };
    const value = (): SQLInputValue => {
      const given = next<Exclude<SQLInputValue, object> | undefined>();
      if (given !== undefined) return given;
      const from = octet;
      octet += next<number>();
      return octets.subarray(from, octet);
    };
    const several = <T>(read: () => T): readonly T[] => {
      const values: T[] = [];
      for (let left = next<number>(); left > 0; left -= 1) values.push(read());
      return values;
    };
    const acceptance = () => ({ id: next<string>(), digest: next<string>() });
    const statement = (): Statement => ({ sql: known[next<number>()] ?? "", params: several(value) });
    const commits: Commit[] = [];
    while (at < list.length)
      commits.push({ n: next<number>(), accepted: several(acceptance), statements: several(statement) });
    return commits;
  };
}
