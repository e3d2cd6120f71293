/** PACS A and its reports: studies whose instances are sent until they are stored, each followed by a report that refers to it. */
import type { Item, Outcome } from "../../../connectors/connector.ts";
import { dicomDestination } from "../../../connectors/dicom/scu.ts";
import { mllpDestination } from "../../../connectors/mllp/index.ts";
import { ctStudy } from "../../fixtures/dicom.ts";
import { dicomItem } from "../../fixtures/dicom-item.ts";
import { cda, chen, mdmFor } from "../../fixtures/documents.ts";
import { dataSetSha256, sha256 } from "../../sites.ts";
import type { Exchange } from "./exchange.ts";
import type { Ledger } from "./ledger.ts";

export type Studies = Ledger & { stop(): Promise<void> };

const context = { log: () => undefined, signal: new AbortController().signal };
const pauseMs = 100;

/** One study after the other until stopped; the last one is brought to its end. */
export function openStudies({ env, signal }: Exchange, instancesPerSeries = 3): Studies {
  const acknowledged = new Map<string, string>();
  const sent = new Set<string>();
  let isOver = false;
  const sendImages = async (uid: string, accession: string): Promise<void> => {
    const files = ctStudy({ instancesPerSeries, studyUid: uid, accession }).map(({ bytes }) => bytes);
    const items = files.map((bytes) => dicomItem(bytes));
    const digests = new Map(items.map(({ controlId }, n) => [controlId, dataSetSha256(files[n] ?? new Uint8Array())]));
    const [host, port] = ["127.0.0.1", Number(env.A_PACS)];
    const options = dicomDestination.options.parse({ host, port, callingAeTitle: "PACS_A", calledAeTitle: "SEMRS_A" });
    for (const digest of digests.values()) sent.add(digest);
    while (!signal.aborted) {
      const left = items.filter(({ controlId }) => !acknowledged.has(controlId));
      if (left.length === 0) return;
      const report = ({ controlId }: Item, { state }: Outcome): void => {
        if (state === "delivered") acknowledged.set(controlId, digests.get(controlId) ?? "");
      };
      await dicomDestination.send(options, each(left), report, context).catch(pause);
    }
  };
  const sendReport = async (uid: string, accession: string, number: number): Promise<void> => {
    const controlId = `STUDY.${number}`;
    const report = cda({
      form: "116",
      extension: controlId,
      patient: chen,
      code: "18782-3",
      display: "x",
      title: "報告",
      study: { uid, accession, series: [], modality: "CT" },
      body: `${number}`,
    });
    const message = mdmFor(report, { controlId });
    const item: Item = { controlId, size: message.length, body: () => each([message]) };
    const options = mllpDestination.options.parse({ host: "127.0.0.1", port: Number(env.A_HIS), responseSeconds: 5 });
    sent.add(sha256(report));
    while (!acknowledged.has(controlId) && !signal.aborted) {
      const said = (_: Item, { state }: Outcome): void => {
        if (state === "delivered") acknowledged.set(controlId, sha256(report));
      };
      await mllpDestination.send(options, each([item]), said, context).catch(() => undefined);
      if (!acknowledged.has(controlId)) await pause();
    }
  };
  const running = (async () => {
    for (let number = 1; !isOver && !signal.aborted; number += 1) {
      const [uid, accession] = [`2.25.9${String(number).padStart(5, "0")}`, `ACC${number}`];
      await sendImages(uid, accession);
      await sendReport(uid, accession, number);
    }
  })();
  return {
    acknowledged,
    sent,
    stop: async () => {
      isOver = true;
      await running;
    },
  };
}

const pause = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, pauseMs));

async function* each<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}
