/** A folder's own key, and another storage key around it (decision 45). */
import { cpSync, existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { beforeEach, expect, test } from "vitest";
import { backUp, restore } from "../../store/backup.ts";
import { keySql } from "../../store/folder-key.ts";
import { storageKeys } from "../../store/keys.ts";
import { rekey } from "../../store/rekey.ts";
import { clear, folder, freshStore, key, open, put, store } from "./fresh.ts";
import { keyRowBefore } from "./rows.ts";

freshStore();

const next = Buffer.alloc(32, 6);
const bytes = Buffer.alloc(200_000, "y");
let name: string;
beforeEach(async () => {
  ({ name } = await put(bytes));
});

/** The folder as a crash at this moment would leave it. */
function copyOf(at: string): string {
  const copy = join(dirname(folder), at);
  cpSync(folder, copy, { recursive: true });
  return copy;
}
const isWhole = async (): Promise<boolean> => (await clear(name)).equals(bytes);
const refused = { code: "CONFIG_INVALID", message: expect.stringContaining("storage.key is not the key of") };
const rows = (): readonly { name: string; value: Uint8Array }[] => {
  const db = new DatabaseSync(join(folder, "semrs.db"));
  try {
    return db.prepare(keySql).all() as never;
  } finally {
    db.close();
  }
};

test("a folder has a key of its own: no two under one storage key have the same, and what is sealed in it does not open under that", async () => {
  const [row] = rows();
  const own = storageKeys(key).open("meta\0key\0value", row?.value ?? new Uint8Array());
  expect(own.length).toBe(32);
  expect(Buffer.from(own).equals(key)).toBe(false);
  const token = store.tokens.of("patient", "", "A223456781");
  expect(token).not.toBe(storageKeys(key).tokens.of("patient", "", "A223456781"));
  await store.close();
  await open({ folder: join(dirname(folder), "another") });
  expect(store.tokens.of("patient", "", "A223456781")).not.toBe(token);
});

test("with another storage key everything opens as it was, and nothing with the one before", async () => {
  const token = store.tokens.of("patient", "", "A223456781");
  await store.close();
  rekey(folder, key, next, () => undefined);
  await expect(open()).rejects.toMatchObject(refused);
  await open({ key: next });
  expect([await isWhole(), store.tokens.of("patient", "", "A223456781")]).toEqual([true, token]);
  await store.close();
  expect(() => rekey(folder, key, next, () => undefined)).toThrow(expect.objectContaining(refused));
  rekey(folder, next, key, () => undefined);
  await open();
  expect(await isWhole()).toBe(true);
});

test("what was sealed under the one before is nowhere in the folder afterwards", async () => {
  await store.close();
  const sealed = Buffer.from(rows()[0]?.value ?? "");
  const files = (): readonly string[] =>
    ["semrs.db", "semrs.db-wal"].map((file) => join(folder, file)).filter(existsSync);
  const holds = (): boolean => files().some((file) => readFileSync(file).includes(sealed));
  expect(holds()).toBe(true);
  // A backup that begins keeps the log from going with its last user.
  const other = new DatabaseSync(join(folder, "semrs.db"));
  other.prepare(keySql).all();
  rekey(folder, key, next, () => undefined);
  expect(holds()).toBe(false);
  other.close();
});

test("a crash while the next one is put into its place leaves a folder that opens with either; with the next one, only once", async () => {
  await store.close();
  let copy = "";
  rekey(folder, key, next, () => {
    copy = copyOf("replacing");
  });
  for (const under of [key, next]) {
    await open({ folder: copy, key: under });
    expect(await isWhole()).toBe(true);
    await store.close();
  }
  await expect(open({ folder: copy })).rejects.toMatchObject(refused);
});

test("where the next one is put into its place later, both open the folder until a house has started with it", async () => {
  await store.close();
  rekey(folder, key, next);
  for (const under of [key, next, next]) {
    await open({ key: under });
    expect(await isWhole()).toBe(true);
    await store.close();
  }
  await expect(open()).rejects.toMatchObject(refused);
  expect(rows().length).toBe(1);
  // One that was prepared and is not used counts no more once another is.
  rekey(folder, next, Buffer.alloc(32, 7));
  rekey(folder, next, key, () => undefined);
  await expect(open({ key: Buffer.alloc(32, 7) })).rejects.toMatchObject(refused);
  await open();
});

test("one that is in its place, and that no house has started with yet, opens the folder until the one after it does", async () => {
  await store.close();
  rekey(folder, key, next);
  const third = Buffer.alloc(32, 7);
  rekey(folder, next, third);
  for (const under of [next, third]) {
    await open({ key: under });
    expect(await isWhole()).toBe(true);
    await store.close();
  }
  await expect(open({ key: next })).rejects.toMatchObject(refused);
  await expect(open()).rejects.toMatchObject(refused);
});

test("a backup opens with the storage key of its time", async () => {
  const backup = join(dirname(folder), "backup");
  backUp(folder, backup, "hospital-a", new Date());
  await store.close();
  rekey(folder, key, next, () => undefined);
  const restored = join(dirname(folder), "restored");
  expect(() => restore(backup, restored, next)).toThrow(expect.objectContaining(refused));
  restore(backup, restored, key);
  await open({ folder: restored });
  expect(await isWhole()).toBe(true);
});

test("a folder that is used, that holds nothing, or that has no key of its own is refused, and is as it was", async () => {
  const never = (): void => expect.unreachable();
  expect(() => rekey(folder, key, next, never)).toThrow(expect.objectContaining({ code: "ALREADY_RUNNING" }));
  expect(() => rekey(join(folder, "blobs"), key, next, never)).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining("holds no store yet") }),
  );
  await store.close();
  const db = new DatabaseSync(join(folder, "semrs.db"));
  db.prepare("UPDATE meta SET value = ? WHERE name = 'key'").run(keyRowBefore(key));
  db.exec("DELETE FROM blob; DELETE FROM meta WHERE name = 'house'");
  db.close();
  expect(() => rekey(folder, key, next, never)).toThrow(
    expect.objectContaining({ code: "CONFIG_INVALID", message: expect.stringContaining("opens with that alone") }),
  );
  // As of a version before: sealed under the storage key itself.
  await open();
  ({ name } = await put(bytes));
  expect(await isWhole()).toBe(true);
  expect(store.tokens.of("patient", "", "1")).toBe(storageKeys(key).tokens.of("patient", "", "1"));
});
