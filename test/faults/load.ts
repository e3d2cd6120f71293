/** A HIS that sends reports without end and keeps a ledger of what was acknowledged. */
import type { Item, Outcome } from "../../connectors/connector.ts";
import { mllpDestination } from "../../connectors/mllp/index.ts";
import { cda, chen, mdmFor } from "../fixtures/documents.ts";
import { sha256 } from "../sites.ts";
import type { House } from "./house.ts";

export type Load = {
  /** SHA-256 of each acknowledged document by MSH-10. */
  readonly acknowledged: ReadonlyMap<string, string>;
  /** Answers that were not AA, by their code. */
  readonly refused: ReadonlyMap<string, number>;
  stop(): Promise<void>;
};

const context = { log: () => undefined, signal: new AbortController().signal };
const pauseMs = 50;

/** Sends on so many connections; what got no answer is not sent again, so that the ledger holds only promises. */
export function openLoad(his: House["his"], connections: number, prefix: string, bodyBytes = 200): Load {
  const acknowledged = new Map<string, string>();
  const refused = new Map<string, number>();
  let isOver = false;
  let number = 0;
  const digests = new Map<string, string>();
  const next = (): Item => {
    number += 1;
    const controlId = `${prefix}${number}`;
    const report = cda({
      form: "113",
      extension: `${prefix}.${number}`,
      patient: chen,
      code: "11502-2",
      display: "x",
      title: "檢驗報告",
      body: `<paragraph>${number}${"x".repeat(bodyBytes)}</paragraph>`,
    });
    const message = mdmFor(report, { controlId });
    digests.set(controlId, sha256(report));
    return { controlId, size: message.length, body: () => one(message) };
  };
  async function* messages(): AsyncGenerator<Item> {
    while (!isOver) yield next();
  }
  const report = ({ controlId }: Item, outcome: Outcome): void => {
    if (outcome.state === "delivered") acknowledged.set(controlId, digests.get(controlId) ?? "");
    if (outcome.state === "refused") refused.set(outcome.code, (refused.get(outcome.code) ?? 0) + 1);
  };
  const connection = async (): Promise<void> => {
    const options = mllpDestination.options.parse({ ...his, responseSeconds: 5 });
    while (!isOver) {
      await mllpDestination.send(options, messages(), report, context).catch(() => undefined);
      if (!isOver) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  };
  const running = Array.from({ length: connections }, connection);
  return {
    acknowledged,
    refused,
    stop: async () => {
      isOver = true;
      await Promise.all(running);
    },
  };
}

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

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}
