/** Directory: whole files only, moved where their verdict says. */
import {
  existsSync,
  lchownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { directoryDestination, directorySource } from "../../connectors/directory.ts";
import { Fault } from "../../errors.ts";
import { wire } from "../envelope/people.ts";
import { until } from "../sites.ts";

const context = { log: () => undefined, signal: new AbortController().signal };

test("finished files are delivered and moved to done/ or, with the reason, to refused/", async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-directory-"));
  const seen = new Map<string, string>();
  const told: string[] = [];
  const options = directorySource.options.parse({ path: folder, mediaType: "application/hl7-v2", everySeconds: 0.02 });
  const source = await directorySource.listen(
    options,
    async ({ body, controlId }) => {
      const pieces: Uint8Array[] = [];
      for await (const piece of body) pieces.push(piece);
      seen.set(controlId, Buffer.concat(pieces).toString());
      if (controlId === "bad.hl7") throw new Fault("HL7_MALFORMED", "no message");
      return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
    },
    { ...context, log: (event, fields) => void told.push(`${event} ${JSON.stringify(fields)}`) },
  );
  writeFileSync(join(folder, "王 小明.hl7"), "never taken");
  for (const name of ["good.hl7", "bad.hl7", ".hidden"]) {
    writeFileSync(join(folder, `.${name}`), name);
    if (name !== ".hidden") renameSync(join(folder, `.${name}`), join(folder, name));
  }
  await until(
    "both are moved",
    () => existsSync(join(folder, "done", "good.hl7")) && existsSync(join(folder, "refused", "bad.hl7")),
  );
  await source.stop();
  expect([...seen].sort()).toEqual([
    ["bad.hl7", "bad.hl7"],
    ["good.hl7", "good.hl7"],
  ]);
  expect(readFileSync(join(folder, "refused", "bad.hl7.reason.txt"), "utf8")).toBe("HL7_MALFORMED: no message\n");
  // A name that is not looked at is told once, and no name is told at all.
  expect(told.map((line) => line.split(" ")[0]).sort()).toEqual(["directory.refused", "directory.skipped"]);
  expect(told.join()).toMatch(/"count":1,"reason":"files are not taken/);
  expect(told.join()).not.toMatch(/小明|bad\.hl7/);
});

test("a file that waits for a house that takes nothing is not left open at each look, and may vanish meanwhile", async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-directory-"));
  const [waits, goes] = ["waits", "goes"].map((name) => join(folder, name)) as [string, string];
  const options = directorySource.options.parse({ path: folder, mediaType: "application/hl7-v2", everySeconds: 0.01 });
  const looks: string[] = [];
  const source = await directorySource.listen(
    options,
    async ({ controlId }) => {
      looks.push(controlId);
      if (controlId === "goes") unlinkSync(goes);
      throw new Fault("STOPPING", "drained");
    },
    context,
  );
  for (const file of [waits, goes]) writeFileSync(file, "MSH");
  await until("it was looked at again and again", () => looks.filter((name) => name === "waits").length > 10);
  await source.stop();
  expect([existsSync(waits), looks.filter((name) => name === "goes")]).toEqual([true, ["goes"]]);
  const open = readdirSync("/proc/self/fd").flatMap((fd) => {
    const path = `/proc/self/fd/${fd}`;
    return existsSync(path) ? readlinkSync(path) : [];
  });
  expect(open.filter((path) => path.startsWith(folder))).toEqual([]);
});

test("a file that went before it was taken is not remembered: one that comes under its name later is whole when it is taken", async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-directory-"));
  const file = join(folder, "next.hl7");
  /** What happens between the listing of a look and its files: each look lists an odd name more, and tells of it. */
  const looks: readonly (() => void)[] = [
    () => undefined,
    () => unlinkSync(file),
    () => writeFileSync(file, "half "),
    () => undefined,
    () => writeFileSync(file, "and the rest", { flag: "a" }),
  ];
  const seen: string[] = [];
  let n = 0;
  const odd = (): void => writeFileSync(join(folder, `odd ${n}`), "");
  writeFileSync(file, "first");
  odd();
  const options = directorySource.options.parse({ path: folder, mediaType: "application/hl7-v2", everySeconds: 0.01 });
  const source = await directorySource.listen(
    options,
    async ({ body }) => {
      seen.push(Buffer.concat(await Array.fromAsync(body)).toString());
      return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
    },
    {
      ...context,
      log: (event) => {
        if (event !== "directory.skipped") return;
        looks[n]?.();
        n += 1;
        odd();
      },
    },
  );
  await until("it was taken", () => readdirSync(join(folder, "done")).length === 1 || seen.length > 1);
  await source.stop();
  expect(seen).toEqual(["half and the rest"]);
});

test.each(["STORE_FULL", "STORE_DAMAGED"] as const)(
  "while nothing can be kept (%s) files stay, one is tried at each look, and it is told once",
  async (code) => {
    const folder = mkdtempSync(join(tmpdir(), "semrs-directory-"));
    for (const name of ["one", "other"]) writeFileSync(join(folder, name), "MSH");
    const options = directorySource.options.parse({
      path: folder,
      mediaType: "application/hl7-v2",
      everySeconds: 0.01,
    });
    const told: string[] = [];
    const tried: string[] = [];
    let isBack = false;
    const source = await directorySource.listen(
      options,
      async ({ controlId }) => {
        tried.push(controlId);
        if (!isBack) throw new Fault(code, "no room");
        return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
      },
      { ...context, log: (event) => void told.push(event) },
    );
    await until("it was tried again and again", () => tried.length > 5);
    expect(told).toEqual(["directory.waiting"]);
    expect(new Set(tried).size).toBe(1);
    isBack = true;
    await until("both are taken", () => readdirSync(join(folder, "done")).length === 2);
    await source.stop();
    expect([readdirSync(join(folder, "refused")), told]).toEqual([[], ["directory.waiting"]]);
  },
);

test("files are left whole, under names that lead nowhere else", async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-directory-"));
  const items = ["M1", "../../etc/passwd"].map((controlId) => ({
    controlId,
    size: 3,
    body: () => wire(Buffer.from("abc")),
  }));
  const told: string[] = [];
  await directoryDestination.send(
    { path: folder },
    (async function* () {
      yield* items;
    })(),
    (_item, { state }) => told.push(state),
    context,
  );
  expect(told).toEqual(["delivered", "delivered"]);
  const names = readdirSync(folder).sort();
  expect(names).toHaveLength(2);
  expect(names).toContain("M1");
  for (const name of names) expect(readFileSync(join(folder, name), "utf8")).toBe("abc");
});

test("a folder that cannot be made or written waits, as a peer that is away does", async () => {
  const file = join(mkdtempSync(join(tmpdir(), "semrs-directory-")), "a-file");
  writeFileSync(file, "");
  const item = { controlId: "M1", size: 3, body: () => wire(Buffer.from("abc")) };
  const sent = directoryDestination.send(
    { path: join(file, "below") },
    (async function* () {
      yield item;
    })(),
    () => undefined,
    context,
  );
  await expect(sent).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
});

/** A watched folder that takes what comes, and what it was given. */
async function watched(
  deliver: (name: string, text: string) => void,
  links: (folder: string) => void = () => undefined,
) {
  const folder = mkdtempSync(join(tmpdir(), "semrs-directory-"));
  links(folder);
  const told: string[] = [];
  const options = directorySource.options.parse({ path: folder, mediaType: "application/hl7-v2", everySeconds: 0.01 });
  const source = await directorySource.listen(
    options,
    async ({ body, controlId }) => {
      deliver(controlId, Buffer.concat(await Array.fromAsync(body)).toString());
      return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
    },
    { ...context, log: (event) => void told.push(event) },
  );
  return { folder, told, stop: source.stop };
}

test("a link in a watched folder is not followed, to a file that is read nor to one that is written", async () => {
  const elsewhere = mkdtempSync(join(tmpdir(), "semrs-elsewhere-"));
  const [secret, key] = ["secret", "storage.key"].map((name) => join(elsewhere, name)) as [string, string];
  for (const file of [secret, key]) writeFileSync(file, "MSH");
  const seen: string[] = [];
  const source = await watched(
    (name) => {
      seen.push(name);
      throw new Fault("HL7_MALFORMED", "no message");
    },
    (folder) => {
      symlinkSync(secret, join(folder, "linked.hl7"));
      mkdirSync(join(folder, "refused"));
      symlinkSync(key, join(folder, "refused", "bad.hl7.reason.txt"));
      writeFileSync(join(folder, "bad.hl7"), "bad");
    },
  );
  await until("it is moved", () => existsSync(join(source.folder, "refused", "bad.hl7")));
  await source.stop();
  expect(seen).toEqual(["bad.hl7"]);
  expect(source.told.toSorted()).toEqual(["directory.refused", "directory.skipped"]);
  expect(readFileSync(key, "utf8")).toBe("MSH");
  expect(readFileSync(join(source.folder, "refused", "bad.hl7.reason.txt"), "utf8")).toMatch(/^HL7_MALFORMED/);
});

test.runIf(process.getuid?.() === 0)(
  "nothing is moved by way of a link that another user has laid in the place of done/ or refused/",
  async () => {
    const elsewhere = mkdtempSync(join(tmpdir(), "semrs-elsewhere-"));
    writeFileSync(join(elsewhere, "storage.key"), "ours");
    const source = await watched(
      () => undefined,
      (folder) => {
        symlinkSync(elsewhere, join(folder, "done"));
        lchownSync(join(folder, "done"), 12_345, 12_345);
        writeFileSync(join(folder, "storage.key"), "theirs");
      },
    );
    await until("it is told", () => source.told.includes("directory.failed"));
    expect(readFileSync(join(elsewhere, "storage.key"), "utf8")).toBe("ours");
    lchownSync(join(source.folder, "done"), 0, 0);
    await until("a link of our own is one", () => readFileSync(join(elsewhere, "storage.key"), "utf8") === "theirs");
    await source.stop();
  },
);

test("a file that takes the place of one that is being taken is taken as well", async () => {
  const seen: string[] = [];
  const source = await watched((name, text) => {
    seen.push(text);
    if (text !== "first") return;
    writeFileSync(join(source.folder, ".next"), "other");
    renameSync(join(source.folder, ".next"), join(source.folder, name));
  });
  writeFileSync(join(source.folder, ".next"), "first");
  renameSync(join(source.folder, ".next"), join(source.folder, "report.hl7"));
  const done = join(source.folder, "done", "report.hl7");
  await until("one is moved", () => existsSync(done));
  await source.stop();
  expect(seen).toEqual(["first", "other"]);
  expect(readFileSync(done, "utf8")).toBe("other");
});
