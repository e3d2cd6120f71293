/** What a store says that does not open, and what it leaves alone until somebody has looked. */
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  chownSync,
  copyFileSync,
  mkdirSync,
  readdirSync,
  renameSync,
  statSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { afterEach, describe, expect, test } from "vitest";
import { openStore } from "../../store/index.ts";
import { migrations } from "../../store/schema.ts";
import { octets } from "../envelope/people.ts";
import { type Disk, disks, makeDisk } from "../faults/disk.ts";
import { arrival, clear, folder, freshStore, key, open, put, store } from "./fresh.ts";

freshStore();

const index = (): string => join(folder, "semrs.db");
/** Something acknowledged, and a blob in a file of its own. */
async function filled(): Promise<string> {
  const row = arrival();
  await store.commit([store.arrivals.add(row)], [{ id: row.id, digest: "00" }]);
  const { name } = await put(octets(300_000, 1));
  await store.close();
  return name;
}

/** Root may do anything: somebody else is asked then, whom all but one file belongs to. */
test.each(["semrs.db", "accept.journal", "blobs", "."])(
  "%s that is closed to this user is told as that",
  async (name) => {
    await filled();
    const [nobody, isRoot] = [65_534, process.getuid?.() === 0];
    const closed = join(folder, name);
    const mode = statSync(closed).mode;
    if (isRoot) for (const each of ["..", ".", ...readdirSync(folder)]) chownSync(join(folder, each), nobody, nobody);
    if (isRoot) chownSync(closed, 0, 0);
    else chmodSync(closed, 0);
    const script = `import { openStore } from ${JSON.stringify(join(import.meta.dirname, "../../store/index.ts"))};
    await openStore({ folder: ${JSON.stringify(folder)}, key: Buffer.from("${Buffer.from(key).toString("hex")}", "hex"), now: () => new Date() })
      .catch(({ code, message }) => process.stdout.write(JSON.stringify({ code, message })));`;
    const user = isRoot ? { uid: nobody, gid: nobody } : {};
    const { stdout } = spawnSync(process.execPath, ["--input-type=module", "-e", script], {
      ...user,
      encoding: "utf8",
    });
    chmodSync(closed, mode);
    expect(JSON.parse(stdout)).toEqual({
      code: "CONFIG_INVALID",
      message: expect.stringContaining(`${join(folder, name)} is closed to this user; give the data folder`),
    });
  },
);

test.for<[string, () => void]>([
  ["another file", () => writeFileSync(index(), Buffer.alloc(8192, 7))],
  ["a piece of one", () => truncateSync(index(), 8192)],
])("an index that is %s does not open, and what to do is said", async ([_what, change]) => {
  await filled();
  change();
  await expect(open()).rejects.toMatchObject({
    code: "STORE_DAMAGED",
    message: expect.stringMatching(/semrs\.db cannot be read/),
  });
});

test.for<[string, () => void]>([
  ["gone", () => renameSync(index(), `${index()}.away`)],
  [
    "empty",
    () => {
      copyFileSync(index(), `${index()}.away`);
      writeFileSync(index(), "");
    },
  ],
])("an index that is %s, beside a journal that has acknowledged something, is not made anew", async ([_what, lose]) => {
  const name = await filled();
  lose();
  await expect(open()).rejects.toMatchObject({
    code: "STORE_DAMAGED",
    message: expect.stringMatching(/semrs\.db is missing/),
  });
  renameSync(`${index()}.away`, index());
  await open();
  expect(await clear(name)).toHaveLength(300_000);
});

const disk = disks();
let mounted: Disk | undefined;
afterEach(() => {
  mounted?.remove();
  mounted = undefined;
});

describe.skipIf(!disk.available)(`a disk of its own ${disk.reason}`, () => {
  test("F3 tables that find no room to be migrated stay as they are; with room they are", async () => {
    mounted = makeDisk(32);
    const data = join(mounted.path, "data");
    const opening = () => openStore({ folder: data, key: new Uint8Array(32), now: () => new Date(), minFreeBytes: 1 });
    mkdirSync(data);
    const db = new DatabaseSync(join(data, "semrs.db"));
    db.exec("PRAGMA journal_mode = WAL");
    // The next one copies every blob.
    for (const [n, sql] of migrations.slice(0, 4).entries())
      db.exec(`BEGIN; ${sql}; PRAGMA user_version = ${n + 1}; COMMIT`);
    const insert = db.prepare(
      "INSERT INTO blob VALUES (hex(randomblob(24)), 'whole', 1, x'', x'', x'', x'', randomblob(60000), NULL)",
    );
    for (let n = 0; n < 80; n += 1) insert.run();
    db.close();
    const release = mounted.fill(1);
    await expect(opening()).rejects.toMatchObject({ code: "STORE_FULL", message: expect.stringMatching(/free space/) });
    release();
    const opened = await opening();
    expect(opened.blobs.names("", 100)).toHaveLength(80);
    await opened.close();
  });
});

test("no file of a store can be read by others, though its folder was made beforehand and they may look into it", async () => {
  await store.close();
  const open755 = join(folder, "..", "made");
  mkdirSync(open755, { mode: 0o755 });
  const made = await openStore({ folder: open755, key, now: () => new Date() });
  const row = arrival();
  await made.commit([made.arrivals.add(row)], [{ id: row.id, digest: "00" }]);
  const files = readdirSync(open755, { withFileTypes: true }).filter((entry) => entry.isFile());
  const modes = files.map(({ name }) => `${name} ${(statSync(join(open755, name)).mode & 0o777).toString(8)}`);
  await made.close();
  expect(modes).toContain("semrs.db-wal 600");
  expect(modes.filter((each) => !each.endsWith(" 600"))).toEqual([]);
});

test("a new index that is a copy of the first one of the process has its tables, its mode, and nothing in it", async () => {
  await filled();
  const beside = join(folder, "..", "beside");
  const copied = await openStore({ folder: beside, key, now: () => new Date() });
  await copied.close();
  const looked = [index(), join(beside, "semrs.db")].map((path) => {
    const db = new DatabaseSync(path, { readOnly: true });
    const all = (sql: string) => db.prepare(sql).all();
    const found = {
      mode: statSync(path).mode & 0o777,
      version: all("PRAGMA user_version"),
      whole: all("PRAGMA integrity_check"),
      tables: all("SELECT type, name, sql FROM sqlite_schema ORDER BY type, name"),
      rows: all("SELECT count(*) AS n FROM arrival")[0]?.n,
    };
    db.close();
    return found;
  });
  const [first, other] = looked;
  expect(first).toMatchObject({ version: [{ user_version: migrations.length }], mode: 0o600, rows: 1 });
  expect(other).toEqual({ ...first, rows: 0 });
});
