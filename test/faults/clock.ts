/** A preload that sets a process's clock wrong: by as many milliseconds as a file says at that moment. Monotonic time goes on. */
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

const setting = "SEMRS_TEST_CLOCK";

/** Settings under which a program's wall clock follows the file. */
export const clockEnv = (file: string): Readonly<Record<string, string>> => ({
  NODE_OPTIONS: `--import=${pathToFileURL(import.meta.filename).href}`,
  [setting]: file,
});

const lookMs = 50;
const file = process.env[setting];
if (file) {
  const Right = Date;
  let [offset, looked] = [0, Number.NEGATIVE_INFINITY];
  const now = (): number => {
    if (performance.now() - looked > lookMs) {
      offset = Number(readFileSync(file, "utf8"));
      looked = performance.now();
    }
    return Right.now() + offset;
  };
  globalThis.Date = new Proxy(Right, {
    construct: (target, args, asked) => Reflect.construct(target, args.length === 0 ? [now()] : args, asked),
    get: (target, name, receiver) => (name === "now" ? now : Reflect.get(target, name, receiver)),
  });
}
