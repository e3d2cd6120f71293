/** A folder that cannot be made is told as that, by every verb that makes it; on some disks Node's own mkdir never ends. */
import { existsSync, mkdtempSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { directoryDestination } from "../../connectors/directory.ts";
import { makeHome } from "../faults/house.ts";
import { semrs, semrsProcess } from "./cli.ts";

const cwd = mkdtempSync(join(tmpdir(), "semrs-folders-"));
writeFileSync(join(cwd, "file"), "");
symlinkSync("itself", join(cwd, "itself"));
/** No disk, but a view of the kernel: what is not there cannot be made, and is said not to be there. */
const none = "/proc/semrs";

describe.skipIf(!existsSync("/proc/self"))("without folders of one's own", () => {
  test.each([
    [["init", "hospital-x", "--folder", none], "init", / is not there/],
    [["pki", "csr", none, "--site", "hospital-x"], "pki csr", / is not there/],
  ])("%j ends", async (args, verb, told) => {
    const { exit, err } = await semrsProcess(args, { cwd });
    expect({ exit, err }).toEqual({ exit: 64, err: expect.stringMatching(`^semrs ${verb}: ${none}${told.source}`) });
  });

  test("what goes to a folder that cannot be made waits for its disk", async () => {
    const items = (async function* () {
      yield { id: "A", name: "A", bytes: 1, read: async function* () {} } as never;
    })();
    const context = { log: () => undefined, signal: new AbortController().signal } as never;
    const settings = directoryDestination.options.parse({ path: none });
    await expect(directoryDestination.send(settings, items, () => undefined, context)).rejects.toMatchObject({
      code: "PEER_UNREACHABLE",
      message: `${none} cannot be written`,
    });
  });
});

test.each([
  ["an empty name", "", /--folder is empty/],
  ["a way through a file", "file/x", /file\/x lies below something that is no folder/],
  ["a file", "file", /file lies below something that is no folder|file is there already/],
  ["a link to itself", "itself/x", /is a link that leads back to itself/],
  ["a name that is too long", "x".repeat(300), /is longer than a name may be/],
])("init: %s", async (_what, folder, told) => {
  const { exit, err } = await semrsProcess(["init", "hospital-x", "--folder", folder], { cwd });
  expect({ exit, err }).toEqual({ exit: 64, err: expect.stringMatching(told) });
  expect(err).not.toMatch(/report it/);
  expect(readdirSync(cwd).sort()).toEqual(["file", "itself"]);
});

describe("a data folder", async () => {
  const { folder, env } = await makeHome();
  test.each([
    ["that no disk takes", none, "cannot be made; see whether its disk is there, or name another data folder"],
    ["that is a file", join(cwd, "file"), "is there and no folder; name another data folder"],
    ["below a file", join(cwd, "file", "x"), "lies below something that is no folder; name another data folder"],
  ])("%s is told of by run and check alike", async (_what, data, told) => {
    const where = { cwd: folder, env: { ...env, DATA: data } };
    const run = await semrsProcess(["run"], where);
    expect({ ...run, out: "" }).toEqual({ exit: 78, out: "", err: `semrs: ${data} ${told}\n` });
    const { out } = await semrsProcess(["check", "--json"], where);
    expect(JSON.parse(out).findings).toContainEqual(
      expect.objectContaining({ code: "DATA_UNWRITABLE", message: told }),
    );
  });
});

test("who only looks makes no data folder", async () => {
  const { folder, data, env } = await makeHome();
  for (const args of [["verify"], ["audit", "verify"], ["audit", "export"], ["rekey"]]) {
    const { exit, err } = await semrs(args, { cwd: folder, env });
    expect({ exit, err }, args.join(" ")).toEqual({
      exit: 78,
      err: expect.stringMatching(`${data} holds no store yet\n$`),
    });
    expect(existsSync(data)).toBe(false);
  }
});
