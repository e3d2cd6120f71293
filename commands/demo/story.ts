/** Tells what happens as the steps of the paper's Figure 1, from the sites' own log lines. */
import type { LogLine } from "./sites.ts";

export type Story = {
  /** A log line of a site. */
  tell(line: LogLine): void;
  /** A line of the demo's own: what HIS A and PACS A did. */
  say(text: string): void;
  readonly receipts: () => number;
  readonly signatures: () => number;
};

type Telling = {
  readonly step: string;
  readonly station: string;
  readonly what: (line: LogLine) => string;
  readonly to: (line: LogLine) => string;
};

const peerOf = (line: LogLine): string => `${line.site} → ${line.peer ?? ""}`;

/** Which log events are which step. */
const tellings: Readonly<Record<string, Telling>> = {
  "source.accepted": {
    step: "1",
    station: "source",
    what: ({ controlId }) => `durable, acknowledged: ${controlId}`,
    to: ({ site, peer }) => `${peer ?? ""} → ${site}`,
  },
  "route.provided": {
    step: "2",
    station: "seal, route",
    what: ({ count }) => `sealed record of ${count} parts stored, receipt signed`,
    to: ({ site }) => `${site} → its repository`,
  },
  "route.registered": { step: "3", station: "route", what: () => "entry registered, receipt verified", to: peerOf },
  "route.pushed": { step: "2", station: "route", what: () => "record pushed, receipt verified", to: peerOf },
  "fetch.queried": { step: "4", station: "fetch", what: () => "stored query, sealed", to: peerOf },
  "fetch.answered": {
    step: "5",
    station: "fetch",
    what: ({ count }) => `${count} entries, signature verified`,
    to: ({ site, peer }) => `${peer} → ${site}`,
  },
  "fetch.requested": { step: "6", station: "fetch", what: () => "record asked for, sealed", to: peerOf },
  "open.opened": {
    step: "7",
    station: "open",
    what: ({ count }) => `${count ?? ""} parts for us, author's and repository's signatures verified`,
    to: ({ site, peer }) => `${peer} → ${site}`,
  },
  "deliver.delivered": {
    step: "",
    station: "deliver",
    what: ({ count, peer }) => (peer === "his" ? "document delivered, AA" : `${count} instances delivered, Success`),
    to: ({ site, peer }) => `${site} → ${(peer ?? "").toUpperCase()} B`,
  },
  "deliver.receipted": { step: "", station: "deliver", what: () => "proof of delivery, signed", to: peerOf },
  "demo.restarted": { step: "", station: "demo", what: ({ reason }) => reason ?? "", to: ({ site }) => site },
};

const verifiedReceipts = new Set(["route.provided", "route.registered", "route.pushed", "repository.receipted"]);
/** How many signatures each of these events stands for. */
const verifiedSignatures: Readonly<Record<string, number>> = {
  "route.provided": 1,
  "registry.registered": 1,
  "route.registered": 2,
  "registry.answered": 1,
  "fetch.answered": 1,
  "repository.answered": 2,
  "open.opened": 2,
  "repository.receipted": 2,
};

/** Writes to `out`, coloured where the reader can show it. Instances on their way in are counted, not listed. */
export function openStory(out: NodeJS.WriteStream): Story {
  const isColoured = out.isTTY === true && !process.env.NO_COLOR;
  const paint = (code: string, text: string) => (isColoured ? `\u001b[${code}m${text}\u001b[0m` : text);
  let receipts = 0;
  let signatures = 0;
  let instances = 0;
  let isProgress = false;
  const write = (text: string): void => {
    if (isProgress) out.write("\r\u001b[K");
    isProgress = false;
    out.write(`${text}\n`);
  };
  return {
    tell: (line) => {
      if (verifiedReceipts.has(line.event)) receipts += 1;
      signatures += verifiedSignatures[line.event] ?? 0;
      if (
        line.event === "source.accepted" &&
        /^[0-9.]+$/.test(line.controlId ?? "") &&
        (line.controlId ?? "").includes(".")
      ) {
        instances += 1;
        if (out.isTTY) out.write(`\r\u001b[K  1  source       ${instances} instances durable, acknowledged`);
        isProgress = out.isTTY === true;
        return;
      }
      const telling = tellings[line.event];
      if (telling) {
        const { step, station, what, to } = telling;
        const size = line.bytes === undefined ? "" : `${line.bytes} B`;
        const time = line.ms === undefined ? "" : `${line.ms} ms`;
        write(
          `  ${paint("1;36", step.padEnd(2))} ${station.padEnd(12)} ${to(line).padEnd(38)} ${size.padStart(12)} ${time.padStart(8)}  ${what(line)}`,
        );
      } else if (line.level === "error" || line.level === "warn") {
        write(`     ${paint("33", line.level)} ${line.site} ${line.event} ${line.code ?? ""} ${line.reason ?? ""}`);
      }
    },
    say: (text) => write(text),
    receipts: () => receipts,
    signatures: () => signatures,
  };
}
