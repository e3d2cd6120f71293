/** What was answered to each file: a line, a report file that can be sent again from, and the figures at the end. */
import { closeSync, openSync, readFileSync, writeSync } from "node:fs";
import type { Outcome } from "../../connectors/connector.ts";
import { Fault } from "../../errors.ts";
import { print } from "../exit.ts";

export type ReportLine = {
  readonly file: string;
  readonly controlId: string;
  readonly state: Outcome["state"] | "failed";
  /** MSA-1 and ERR-3, or the C-STORE status. */
  readonly detail: string;
  readonly reason: string;
  /** From the first octet sent to the answer. */
  readonly ms: number;
};

export type Summary = {
  readonly count: number;
  readonly delivered: number;
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
  readonly max: number;
  readonly text: string;
};

const progressMs = 250;

/** Tells each line as it comes; on a terminal with many files a progress line instead. */
export function openReport(
  count: number,
  { report, quiet, json }: { readonly report?: string; readonly quiet?: boolean; readonly json?: boolean },
): { told(line: ReportLine): void; close(): Summary } {
  const started = performance.now();
  const file = report !== undefined ? openSync(report, "w", 0o600) : undefined;
  const times: number[] = [];
  let [done, delivered] = [0, 0];
  const seconds = (): number => (performance.now() - started) / 1000;
  const progress = (): void =>
    void process.stderr.write(`\r${done}/${count}, ${(done / seconds()).toFixed(0)} a second `);
  const timer = process.stderr.isTTY ? setInterval(progress, progressMs) : undefined;
  return {
    told: (line) => {
      done += 1;
      if (line.state === "delivered") delivered += 1;
      times.push(line.ms);
      if (file !== undefined) writeSync(file, `${JSON.stringify(line)}\n`);
      if (json && !quiet) print(JSON.stringify(line));
      else if (!quiet)
        print([line.file, line.state, line.detail, line.reason, `${line.ms} ms`].filter((each) => each).join("  "));
    },
    close: () => {
      clearInterval(timer);
      if (timer) process.stderr.write("\r\u001b[K");
      if (file !== undefined) closeSync(file);
      const sorted = times.sort((one, other) => one - other);
      const at = (share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;
      const perSecond = Math.round((done / seconds()) * 10) / 10;
      const [p50, p99, max] = [at(0.5), at(0.99), at(1)];
      const left = count - delivered;
      const text = `${delivered} of ${count} delivered${left > 0 ? `, ${left} not` : ""}; ${perSecond} a second; p50 ${p50} ms, p99 ${p99} ms, longest ${max} ms`;
      return { count, delivered, perSecond, p50, p99, max, text };
    },
  };
}

/** Files of a report that were not delivered, or never came to be sent. */
export function unsent(report: string): readonly string[] {
  let text: string;
  try {
    text = readFileSync(report, "utf8");
  } catch (cause) {
    throw new Fault("QUERY_INVALID", `${report} cannot be read; it is what --report wrote`, { cause });
  }
  const last = new Map<string, ReportLine["state"]>();
  for (const [index, line] of text.split("\n").entries()) {
    if (line === "") continue;
    const { file, state } = lineOf(line) ?? {};
    if (file === undefined || state === undefined)
      throw new Fault(
        "QUERY_INVALID",
        `${report}:${index + 1} is no line of a report; give what --report wrote, without a line that was cut off`,
      );
    last.set(file, state);
  }
  return [...last].filter(([, state]) => state !== "delivered").map(([file]) => file);
}

function lineOf(line: string): Partial<ReportLine> | undefined {
  try {
    return (JSON.parse(line) ?? undefined) as Partial<ReportLine> | undefined;
  } catch {
    return undefined;
  }
}

/** Lets at most so many begin a second. */
export function pace(rate: number | undefined): () => Promise<void> {
  let next = performance.now();
  return async () => {
    if (rate === undefined) return;
    const wait = next - performance.now();
    next = Math.max(next, performance.now()) + 1000 / rate;
    if (wait > 0) await new Promise((resolve) => setTimeout(resolve, wait));
  };
}
