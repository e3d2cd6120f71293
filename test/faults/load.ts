/** A HIS that sends reports without end and keeps a ledger of what was acknowledged. */
import type { Item, Outcome } from "../../connectors/connector.ts";
import { mllpDestination } from "../../connectors/mllp/index.ts";
import { cda, chen, mdmFor } from "../fixtures/documents.ts";
import { sha256 } from "../sites.ts";
import type { House } from "./house.ts";

export type Load = {
  /** SHA-256 of each acknowledged document by MSH-10. */
  readonly acknowledged: ReadonlyMap<string, string>;
  /** SHA-256 of each document that was sent, whatever was answered. */
  readonly sent: ReadonlySet<string>;
  /** Answers that were not AA, by their code. */
  readonly refused: ReadonlyMap<string, number>;
  /** How often something was sent. */
  tries(): number;
  /** Resolves when what is open is acknowledged. */
  stop(): Promise<void>;
};

export type LoadOptions = {
  /** Octets of each report beside its form. */
  readonly bodyBytes?: number;
  /** Reports of one patient, before the next one's; without it all are of one. */
  readonly perPatient?: number;
  /** What got no AA is sent again until it gets one, as a HIS does; otherwise it is left alone. */
  readonly isInsisting?: boolean;
  /** A pause after each acknowledged message of a connection, in ms. */
  readonly everyMs?: number;
  /** How long an answer is waited for, in seconds. */
  readonly patience?: number;
  /** Ends it whatever was not answered. */
  readonly signal?: AbortSignal;
};

const context = { log: () => undefined, signal: new AbortController().signal };
const pauseMs = 50;
type Report = Item & { readonly digest: string };

/** Sends on so many connections; the ledger holds promises only. */
export function openLoad(
  his: House["his"],
  connections: number,
  prefix: string,
  { bodyBytes = 200, perPatient, isInsisting = false, everyMs = 0, patience = 5, signal }: LoadOptions = {},
): Load {
  const acknowledged = new Map<string, string>();
  const refused = new Map<string, number>();
  const sent = new Set<string>();
  let isOver = false;
  signal?.addEventListener("abort", () => (isOver = true));
  let [number, tries] = [0, 0];
  const next = (): Report => {
    number += 1;
    const controlId = `${prefix}${number}`;
    const patient = perPatient ? patientOf(number, perPatient) : chen;
    const report = cda({
      form: "113",
      extension: `${prefix}.${number}`,
      patient,
      code: "11502-2",
      display: "x",
      title: "檢驗報告",
      body: `<paragraph>${number}${"x".repeat(bodyBytes)}</paragraph>`,
    });
    const message = mdmFor(report, { controlId, patient });
    return { controlId, digest: sha256(report), size: message.length, body: () => one(message) };
  };
  const connection = async (): Promise<void> => {
    const options = mllpDestination.options.parse({ ...his, responseSeconds: patience });
    let open: Report | undefined;
    const messages = async function* (): AsyncGenerator<Report> {
      while (!isOver) {
        open = isInsisting && open ? open : next();
        sent.add(open.digest);
        tries += 1;
        yield open;
        if (isInsisting && open) await pause(pauseMs);
        else if (everyMs > 0) await pause(everyMs);
      }
    };
    const report = ({ controlId }: Item, outcome: Outcome): void => {
      if (outcome.state === "delivered") {
        acknowledged.set(controlId, open?.digest ?? "");
        open = undefined;
      }
      if (outcome.state === "refused") refused.set(outcome.code, (refused.get(outcome.code) ?? 0) + 1);
    };
    while (!isOver) {
      await mllpDestination.send(options, messages(), report, context).catch(() => undefined);
      if (!isOver) await pause(pauseMs);
    }
  };
  const running = Array.from({ length: connections }, connection);
  return {
    acknowledged,
    sent,
    refused,
    tries: () => tries,
    stop: async () => {
      isOver = true;
      await Promise.all(running);
    },
  };
}

/** Patients of so many reports each. */
export const patientOf = (number: number, reports: number): typeof chen => ({
  ...chen,
  national: `A2${String(Math.floor(number / reports)).padStart(8, "0")}`,
});

/** Acknowledged messages that the house does not have, or has with another document. */
export async function lostOf({ admin }: House, acknowledged: ReadonlyMap<string, string>): Promise<readonly string[]> {
  const lost: string[] = [];
  for (const [controlId, digest] of acknowledged) {
    const traced = await admin
      .get<{ documents: readonly { sha256: string }[] }>(`/trace/${controlId}`)
      .catch(() => ({ documents: [] }));
    if (!traced.documents.some(({ sha256: kept }) => kept === digest)) lost.push(controlId);
  }
  return lost;
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}
