/** The walk-throughs of the documentation are run as they are written: commands after `$`, what they print below, … for anything. */
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { Command } from "commander";
import { afterAll, describe, expect, test } from "vitest";
import { parse } from "yaml";
import { z } from "zod";
import { ports } from "../commands/demo/ports.ts";
import { verbs } from "../commands/verbs.ts";
import { systemSchemas } from "../pipeline/config-systems.ts";
import { peer } from "./peers.ts";
import { until } from "./sites.ts";

const root = join(import.meta.dirname, "..");
const openssl = peer("openssl");
const children: ReturnType<typeof spawn>[] = [];
afterAll(async () => {
  for (const child of children) {
    const ended = once(child, "exit");
    // The shell's whole group: the site it started ends with it.
    if (child.pid) process.kill(-child.pid, "SIGTERM");
    await ended;
  }
});

/** Commands that change nothing, and how long they are repeated. */
const looking = /^semrs (journal (trace|list)|status)\b/;
const lookMs = 20_000;

type Step = { readonly command: string; readonly expected: readonly string[] };

/** Commands of all console blocks, in order. */
function stepsOf(file: string): readonly Step[] {
  const blocks = [...readFileSync(join(root, file), "utf8").matchAll(/```console\n([\s\S]*?)```/g)].map(
    ([, text = ""]) => text,
  );
  return blocks.flatMap((block) =>
    block
      .split(/^\$ /m)
      .slice(1)
      .map((text): Step => {
        const [command = "", ...expected] = text.trimEnd().split("\n");
        return { command, expected };
      }),
  );
}

/** A line as it is written against a line as it was printed; columns may be wider than they are written, and a machine so slow that it counts in seconds. */
const pattern = (line: string): RegExp =>
  new RegExp(
    `^${line
      .split("…")
      .map((part) => part.replaceAll(/[.*+?^${}()|[\]\\]/g, "\\$&").replaceAll(/ +/g, " +"))
      .join(".*")
      .replaceAll(".* +ms", ".* +m?s")}$`,
  );

/** Every written line is printed, in this order; `…` alone stands for any number of lines. */
function compare(command: string, printed: readonly string[], expected: readonly string[]): void {
  let at = 0;
  let isLoose = false;
  for (const line of expected) {
    if (line === "…") {
      isLoose = true;
      continue;
    }
    const found = printed.findIndex((each, index) => index >= at && pattern(line).test(each));
    const what = `${command}\nexpected: ${line}\nprinted:\n${printed.join("\n")}`;
    expect(found, what).toBeGreaterThanOrEqual(0);
    if (!isLoose) expect(found, what).toBe(at);
    [at, isLoose] = [found + 1, false];
  }
}

async function walk(
  file: string,
  cwd: string,
  env: Readonly<Record<string, string>>,
  translate: (text: string) => string,
): Promise<void> {
  for (const { command, expected } of stepsOf(file)) {
    const shell = translate(command);
    if (shell.endsWith("&")) {
      const child = spawn("sh", ["-c", shell.slice(0, -1)], {
        cwd,
        env: { ...process.env, ...env },
        detached: true,
        stdio: "ignore",
      });
      children.push(child);
      await until("the site is ready", () =>
        fetch(`http://127.0.0.1:${env.ADMIN}/health/ready`).then(
          ({ ok }) => ok,
          () => false,
        ),
      );
      continue;
    }
    const run = (): { readonly status: number | null; readonly printed: readonly string[] } => {
      const { status, stdout, stderr } = spawnSync("sh", ["-c", shell], {
        cwd,
        env: { ...process.env, ...env },
        encoding: "utf8",
        timeout: 120_000,
      });
      const exit = status === 0 ? [] : [`[exit ${status}]`];
      const printed = [...`${stdout}${stderr}`.split(/\r?\n|\r/).map((line) => line.trimEnd()), ...exit];
      while (printed.length > 0 && printed.at(-1 - exit.length) === "") printed.splice(-1 - exit.length, 1);
      return { status, printed };
    };
    let ran = run();
    const isAsWritten = (): boolean => {
      try {
        compare(command, ran.printed, expected.map(translate));
        return true;
      } catch {
        return false;
      }
    };
    // What only looks sees what is still on its way: it looks again, as a person would.
    const end = Date.now() + lookMs;
    while (looking.test(command) && !isAsWritten() && Date.now() < end) ran = run();
    const { status, printed } = ran;
    compare(command, printed, expected.map(translate));
    if (!expected.some((line) => line.startsWith("[exit"))) expect(status, `${command}\n${printed.join("\n")}`).toBe(0);
  }
}

test("five minutes", async () => {
  await walk("docs/five-minutes.md", root, {}, (text) => text);
}, 120_000);

test("the first channel", async () => {
  const cwd = mkdtempSync(join(tmpdir(), "semrs-docs-"));
  const names = ["HIS", "PACS", "REST", "ADMIN"];
  const free = await ports(names);
  const env = { ...free, PATH: `${shim(cwd)}:${process.env.PATH}` };
  // The ports of the text are the defaults; here they are free ones, and so is what is printed of them.
  await walk("docs/first-channel.md", cwd, env, (command) =>
    command.replaceAll("127.0.0.1:2575", `127.0.0.1:${free.HIS}`),
  );
}, 120_000);

test("a registry of one's own", async () => {
  const cwd = mkdtempSync(join(tmpdir(), "semrs-docs-"));
  const [, yaml = ""] =
    /```yaml\n(site: registry[\s\S]*?)```/.exec(readFileSync(join(root, "docs/registry.md"), "utf8")) ?? [];
  writeFileSync(join(cwd, "channels.yaml"), yaml);
  await walk("docs/registry.md", cwd, { PATH: `${shim(cwd)}:${process.env.PATH}` }, (text) => text);
}, 60_000);

/** A folder with the sample report and its two images. */
function samples(): string {
  const cwd = mkdtempSync(join(tmpdir(), "semrs-docs-"));
  copyFileSync(join(root, "test/fixtures/cda/form-116.xml"), join(cwd, "report.xml"));
  for (const [name, n] of [
    ["a", 1],
    ["b", 2],
  ] as const)
    copyFileSync(join(root, `examples/study/ct-${n}.dcm`), join(cwd, `${name}.dcm`));
  return cwd;
}

test("envelopes by hand", async () => {
  const cwd = samples();
  await walk("docs/envelopes.md", cwd, { PATH: `${shim(cwd)}:${process.env.PATH}` }, (text) => text);
}, 60_000);

test.skipIf(!openssl.available)(
  `an envelope with OpenSSL alone ${openssl.reason}`,
  async () => {
    const cwd = samples();
    await walk("docs/envelope-with-openssl.md", cwd, { PATH: `${shim(cwd)}:${process.env.PATH}` }, (text) => text);
  },
  60_000,
);

test("coming from Mirth and Orthanc: what is shown is what examples/ has, and does what it says", async () => {
  const cwd = mkdtempSync(join(tmpdir(), "semrs-docs-"));
  const page = readFileSync(join(root, "docs/coming-from.md"), "utf8");
  for (const from of ["from-mirth", "from-orthanc"])
    expect(page).toContain(
      `\n\`\`\`yaml\n${readFileSync(join(root, `examples/${from}/channels.yaml`), "utf8")}\`\`\`\n`,
    );
  await walk("docs/coming-from.md", root, { PATH: `${shim(cwd)}:${process.env.PATH}` }, (text) => text);
}, 120_000);

/** A folder with `semrs` in it, as `npm link` would put it on the PATH. */
function shim(cwd: string): string {
  const bin = join(cwd, "..", `${cwd.split("/").at(-1)}-bin`);
  mkdirSync(bin);
  writeFileSync(join(bin, "semrs"), `#!/bin/sh\nexec "${process.execPath}" "${join(root, "semrs.js")}" "$@"\n`);
  chmodSync(join(bin, "semrs"), 0o755);
  return bin;
}

test("what the page of connectors shows is what a system takes", () => {
  const text = readFileSync(join(root, "docs/reference/connectors.md"), "utf8");
  const examples = [...text.matchAll(/```yaml\n([\s\S]*?)```/g)].map(([, example = ""]) => example);
  expect(examples.length).toBeGreaterThan(3);
  for (const example of examples) {
    const taken = z.strictObject(systemSchemas).partial().safeParse(parse(example));
    expect(taken.error?.issues ?? [], example).toEqual([]);
  }
});

/** Headings as links name them. */
const headings = (path: string): readonly string[] =>
  [...readFileSync(path, "utf8").matchAll(/^#+ (.*)$/gm)].map(([, heading = ""]) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N}_ -]/gu, "")
      .replaceAll(" ", "-"),
  );

describe("every page", () => {
  const pages = readdirSync(join(root, "docs"), { recursive: true, encoding: "utf8" }).filter((file) =>
    file.endsWith(".md"),
  );
  test.each([
    ...pages.map((file) => `docs/${file}`),
    "README.md",
    "README.zh-Hant.md",
    "ARCHITECTURE.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
  ])("%s: its links lead somewhere", (file) => {
    const text = readFileSync(join(root, file), "utf8");
    for (const [, target = "", heading] of text.matchAll(/\]\(([^)#\s]*)(?:#([^)]*))?\)/g)) {
      if (/^https?:/.test(target)) continue;
      const path = target === "" ? join(root, file) : join(root, dirname(file), target);
      expect(existsSync(path), `${file} → ${target}`).toBe(true);
      if (heading !== undefined) expect(headings(path), `${file} → ${target}#${heading}`).toContain(heading);
    }
  });
  test("every verb that a page names exists, with its options", async () => {
    const program = new Command("semrs");
    for (const verb of Object.values(verbs)) program.addCommand(await verb(program));
    const named = new RegExp(`(?:^\\$ |\`|^)(?:npx )?semrs ((?:${Object.keys(verbs).join("|")})\\b[^\`\n|&]*)`, "gm");
    const met = new Set<string>();
    for (const file of [...pages.map((page) => `docs/${page}`), "README.md", "README.zh-Hant.md"]) {
      for (const [, line = ""] of readFileSync(join(root, file), "utf8").matchAll(named)) {
        let verb: Command = program;
        for (const word of line.trim().split(/\s+/)) {
          const below = verb.commands.find((each) => each.name() === word);
          if (!below) break;
          verb = below;
        }
        met.add(verb.name());
        for (const option of line.match(/--[a-z][a-z-]*/g) ?? [])
          expect(verb.helpInformation(), `${file}: semrs ${line}`).toContain(option);
        // What holds other verbs is named with one of them.
        if (verb.commands.length > 0) expect(line.trim(), `${file}: semrs ${line}`).toMatch(/^[a-z]+( --.*)?$/);
      }
    }
    expect(met.size).toBeGreaterThan(30);
  });
});
