/** Every verb's --help begins with an example that can be copied, at whatever depth. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync, mkdtempSync, readdirSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Command, Help } from "commander";
import { expect, test } from "vitest";
import { listed, verbs } from "../../commands/verbs.ts";
import { root, semrs, semrsProcess } from "./cli.ts";

const folder = join(import.meta.dirname, "../../commands");
const declared = /export (?:function|const) (\w+Command)\b/g;

/** The command lines of a module; what a verb is made with is only asked for when it runs. */
async function commandsOf(file: string): Promise<readonly Command[]> {
  const names = [...readFileSync(join(folder, file), "utf8").matchAll(declared)].map(([, name = ""]) => name);
  if (names.length === 0) return [];
  const module = (await import(join(folder, file))) as Readonly<Record<string, (verb: string) => Command>>;
  return names.flatMap((name) => module[name]?.("pause") ?? []);
}

const nested = (command: Command): readonly Command[] => [command, ...command.commands.flatMap(nested)];

test("every verb shows an example", async () => {
  const files = readdirSync(folder, { recursive: true, encoding: "utf8" }).filter((file) => file.endsWith(".ts"));
  const commands = (await Promise.all(files.map(commandsOf))).flat().flatMap(nested);
  expect(commands.length).toBeGreaterThan(40);
  const without = commands.filter((command) => {
    let help = "";
    command.configureOutput({ writeOut: (text) => (help += text) }).outputHelp();
    return !/^Examples?:\n {2}(semrs|npm|SITE)/.test(help);
  });
  expect(without.map((command) => `${command.parent?.name() ?? ""} ${command.name()}`)).toEqual([]);
});

test("the list of verbs says of each what its module says", async () => {
  const help = new Help();
  const said = Object.entries(verbs).map(async ([name, load]) => {
    const verb = await load(new Command("semrs"));
    return [name, [help.subcommandTerm(verb), help.subcommandDescription(verb)]] as const;
  });
  expect(Object.entries(listed)).toEqual(await Promise.all(said));
});

/** Writes which modules of verbs a process has loaded, when it ends. */
const telling = String.raw`import { registerHooks } from "node:module";
const loaded = [];
registerHooks({ load: (url, context, next) => (loaded.push(...(/commands\/.*/.exec(url) ?? [])), next(url, context)) });
process.on("exit", () => process.stderr.write("\nloaded " + loaded.join(" ")));`;
const env = { NODE_OPTIONS: `--import=data:text/javascript;base64,${Buffer.from(telling).toString("base64")}` };
const ofAll = ["commands/exit.ts", "commands/verbs.ts", "commands/version.ts"];

test.each<[readonly string[], string, readonly string[]]>([
  [["--help"], "semrs [options] [command]", []],
  [[], "semrs [options] [command]", []],
  [["stats"], "(Did you mean status?)", []],
  [["reload", "--help"], "semrs reload [options]", ["commands/admin-client.ts", "commands/reload.ts"]],
  [["help", "reload"], "semrs reload [options]", ["commands/admin-client.ts", "commands/reload.ts"]],
])("semrs %j loads what it speaks of", async (args, told, modules) => {
  const { out, err } = await semrsProcess(args, { env });
  const [, loaded = ""] = err.split("\nloaded ");
  expect(out + err).toContain(told);
  expect(loaded.split(" ").sort()).toEqual([...ofAll, ...modules].sort());
});

test("a verb that is none is a wrong use, also when every object has something of that name", async () => {
  expect(await semrs(["constructor"])).toMatchObject({ exit: 64, err: "error: unknown command 'constructor'\n" });
});

test.each<[readonly string[], RegExp]>([
  [["pki", "show", "nowhere.crt"], /^semrs pki show: nowhere\.crt is not there; is this the right folder\?$/],
  [["pki", "show", "README.md"], /^semrs pki show: README\.md holds no certificate in PEM$/],
  [["pki", "revoke", "nowhere", "docs"], /^semrs pki revoke: a file that was named is a folder$/],
  [["pki", "issue", "nowhere", "sign.csr", "--days", "0x10"], /^error: .*'0x10' is invalid\. write a number over 0$/],
  [
    ["pki", "csr", "nowhere", "--site", "a", "--host", "https://a.example"],
    /is invalid\. write a DNS name or an IPv4 address/,
  ],
  [["echo", "127.0.0.1"], /^semrs echo: write host:port, for example 127\.0\.0\.1:2575$/],
  [["echo", "X@127.0.0.1:0"], /^semrs echo: write host:port, for example 127\.0\.0\.1:2575$/],
  [["echo", "X@127.0.0.1:9", "--timeout", "86401"], /^error: .*'86401' is invalid\. write seconds, 86400 at most$/],
  [["echo", "127.0.0.1:9", "--count", "1.5"], /^error: .*'1.5' is invalid\. write a whole number over 0$/],
  [
    ["echo", "X@127.0.0.1:9", "--aet", "LONGER_THAN_AN_AET"],
    /^error: .* is invalid\. an AE title is 1 to 16 characters/,
  ],
  [["echo", "LONGER_THAN_AN_AET@127.0.0.1:9"], /^semrs echo: an AE title is 1 to 16 characters/],
  [
    ["echo", "127.0.0.1:9", ...["key", "certificate", "ca"].flatMap((what) => [`--tls-${what}`, "README.md"])],
    /^semrs echo: README\.md, README\.md and README\.md are no key, its certificate and an authority, in PEM$/,
  ],
  [["send", "dicom", "--to", "X@127.0.0.1:9", "--connections", "1.5", "examples"], /write a whole number over 0$/],
  [["send", "mllp", "--to", "127.0.0.1:9", "--timeout", "86401", "examples"], /write seconds, 86400 at most$/],
])("semrs %j: what a person named wrongly is told as theirs, in one line", async (args, told) => {
  const { exit, err } = await semrs(args);
  expect(exit).toBe(64);
  expect(err.trim()).toMatch(told);
});

test("piped into head, a verb does what it does to its end", async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-head-"));
  const child = spawn(process.execPath, [join(root, "semrs.js"), "init", "hospital-a", "--own-ca"], { cwd: folder });
  child.stdout.destroy();
  let err = "";
  child.stderr.on("data", (chunk: Buffer) => (err += chunk));
  const [exit] = (await once(child, "close")) as [number];
  expect({ exit, made: existsSync(join(folder, "pki/hospital-a/tls.crt")) }).toEqual({ exit: 0, made: true });
  expect(err).not.toContain("EPIPE");
});
