/** Ports of sites that are started again: nobody else is given them while they are down. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect, test } from "vitest";
import { ports } from "../../commands/demo/ports.ts";

const module = join(import.meta.dirname, "..", "..", "commands", "demo", "ports.ts");

/** Candidates in this order. */
const inTurn = (numbers: readonly number[]) => {
  const left = [...numbers];
  return (): number => left.shift() ?? Number.NaN;
};

test("a port that another process was given is not given again while that process lives, though nobody listens on it", async () => {
  const program = `const { ports } = await import(${JSON.stringify(module)});
    process.stdout.write((await ports(["TAKEN"])).TAKEN); process.stdin.resume();`;
  const other = spawn(process.execPath, ["--input-type=module", "--eval", program], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const [line] = (await once(other.stdout, "data")) as [Buffer];
  const taken = Number(line.toString());
  const { FREE = "" } = await ports(["FREE"]);
  const others = Array.from({ length: 20 }, (_, n) => Number(FREE) + 1 + n);

  const chosen = await ports(["ONE"], inTurn([taken, ...others]));
  expect(others).toContain(Number(chosen.ONE));

  other.kill("SIGKILL");
  await once(other, "exit");
  expect(await ports(["ONE"], inTurn([taken]))).toEqual({ ONE: String(taken) });
});
