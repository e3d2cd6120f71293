/** Runs a verb as a person does: another process, its output and its exit code. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";

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
