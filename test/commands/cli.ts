/** Runs a verb as a person does: its output and its exit code. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { Writable } from "node:stream";
import { Command, CommanderError } from "commander";
import { exits, overridden } from "../../commands/exit.ts";
import { verbs } from "../../commands/verbs.ts";

export type Ran = { readonly exit: number | null; readonly out: string; readonly err: string };
export const root = join(import.meta.dirname, "..", "..");

type Where = {
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Standard input. */
  readonly input?: Uint8Array;
};
/** They stay until they are ended, speak of all verbs, or are none. */
const apart: ReadonlySet<string> = new Set(["run", "demo", "completion"]);

/** `semrs …args`: in this process, since one of its own mostly waits for Node to load its modules; with an input in one of its own. */
export async function semrs(args: readonly string[], where: Where = {}): Promise<Ran> {
  const [name = ""] = args;
  const verb = where.input || apart.has(name) || !Object.hasOwn(verbs, name) ? undefined : verbs[name];
  if (!verb) return await semrsProcess(args, where);
  const program = new Command("semrs");
  program.addCommand(await verb(program));
  return await here(program, where.cwd ?? root, args, where.env);
}

/** `semrs …args` in a process of its own. */
export async function semrsProcess(args: readonly string[], { cwd = root, env = {}, input }: Where = {}): Promise<Ran> {
  const child = spawn(process.execPath, [join(root, "semrs.js"), ...args], { cwd, env: { ...process.env, ...env } });
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
  child.stdin.on("error", () => undefined).end(input);
  await once(child, "close");
  return { exit: child.exitCode, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() };
}

/** A folder, variables and streams are a process's: one verb after the other. */
let last: Promise<unknown> = Promise.resolve();

/** A verb in this process, in a folder with variables, and what it has written. */
export async function here(
  verb: Command,
  cwd: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const ran = last.then(() => runHere(verb, cwd, args, env));
  last = ran.catch(() => undefined);
  return await ran;
}

async function runHere(
  verb: Command,
  cwd: string,
  args: readonly string[],
  env: Readonly<Record<string, string>>,
): Promise<Ran> {
  const before = { cwd: process.cwd(), env: { ...process.env } };
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  const giveBack = [instead("stdout", out), instead("stderr", err)];
  process.chdir(cwd);
  Object.assign(process.env, env);
  process.exitCode = 0;
  const ran = (exit: typeof process.exitCode): Ran => ({
    exit: Number(exit),
    out: Buffer.concat(out).toString(),
    err: Buffer.concat(err).toString(),
  });
  try {
    await overridden(verb).parseAsync(args, { from: "user" });
    return ran(process.exitCode);
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown;
    return ran(thrown.exitCode === 0 ? exits.ok : exits.usage);
  } finally {
    process.chdir(before.cwd);
    process.env = before.env;
    process.exitCode = 0;
    for (const restore of giveBack) restore();
  }
}

/** A stream of its own in the place of the process's, as each process has: what listens to it goes with it. */
function instead(name: "stdout" | "stderr", pieces: Buffer[]): () => void {
  const before = Object.getOwnPropertyDescriptor(process, name) ?? {};
  const value = new Writable({
    write: (piece: Buffer, _encoding, done) => {
      pieces.push(piece);
      done();
    },
  });
  Object.defineProperty(process, name, { value, configurable: true, enumerable: true });
  return () => void Object.defineProperty(process, name, before);
}
