/** Runs a verb as a person does: another process, its output and its exit code. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { type Command, CommanderError } from "commander";
import { exits, overridden } from "../../commands/exit.ts";

export type Ran = { readonly exit: number | null; readonly out: string; readonly err: string };
export const root = join(import.meta.dirname, "..", "..");

/** `semrs …args`; `bytes` are its standard input. */
export async function semrs(
  args: readonly string[],
  { cwd = root, env = {}, input }: { cwd?: string; env?: Readonly<Record<string, string>>; input?: Uint8Array } = {},
): Promise<Ran> {
  const child = spawn(process.execPath, [join(root, "semrs.js"), ...args], { cwd, env: { ...process.env, ...env } });
  const [out, err]: [Buffer[], Buffer[]] = [[], []];
  child.stdout.on("data", (chunk: Buffer) => out.push(chunk));
  child.stderr.on("data", (chunk: Buffer) => err.push(chunk));
  child.stdin.on("error", () => undefined).end(input);
  await once(child, "close");
  return { exit: child.exitCode, out: Buffer.concat(out).toString(), err: Buffer.concat(err).toString() };
}

/** A verb in this process, in a folder with variables, and what it has written: one of its own would mostly wait for Node to start. */
export async function here(
  verb: Command,
  cwd: string,
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<Ran> {
  const before = { cwd: process.cwd(), env: { ...process.env }, out: process.stdout.write, err: process.stderr.write };
  const [out, err]: [string[], string[]] = [[], []];
  const into = (lines: string[]) => (text: string | Uint8Array) =>
    lines.push(typeof text === "string" ? text : Buffer.from(text).toString()) > 0;
  process.chdir(cwd);
  Object.assign(process.env, env);
  process.exitCode = 0;
  process.stdout.write = into(out);
  process.stderr.write = into(err);
  try {
    await overridden(verb).parseAsync(args, { from: "user" });
    return { exit: process.exitCode, out: out.join(""), err: err.join("") };
  } catch (thrown) {
    if (!(thrown instanceof CommanderError)) throw thrown;
    return { exit: exits.usage, out: out.join(""), err: err.join("") };
  } finally {
    process.chdir(before.cwd);
    process.env = before.env;
    process.exitCode = 0;
    process.stdout.write = before.out;
    process.stderr.write = before.err;
  }
}
