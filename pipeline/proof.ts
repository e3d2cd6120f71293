/** Proof of a study's delivery beyond the responses to C-STORE: storage commitment, or what the PACS names by C-FIND. */
import { requestCommitment } from "../connectors/dicom/commit.ts";
import { failureReasons, transactions } from "../connectors/dicom/commitment.ts";
import { Fault } from "../errors.ts";
import { askPacs, peerOf } from "./pull.ts";
import type { Site } from "./site.ts";

/** An instance that was sent. */
export type SentInstance = {
  readonly sopInstanceUid: string;
  readonly sopClassUid: string;
  readonly studyInstanceUid: string;
};

/** Failure Reason (PS3.3 C.14.1.1) of each instance that the PACS does not answer for; empty when delivery is proven. */
export type Unproven = ReadonlyMap<string, number>;

type Prove = (site: Site, system: string, sent: readonly SentInstance[]) => Promise<Unproven>;

const proofs: Readonly<Record<"response" | "commitment" | "count", Prove>> = {
  response: async () => new Map(),
  commitment: async (site, system, sent) => {
    const peer = peerOf(site, system);
    const seconds = site.config.own.systems[system]?.dicom?.proofSeconds ?? 0;
    const outcome = await requestCommitment(peer, sent, seconds, transactions, site.signal);
    if (!outcome)
      throw new Fault(
        "PEER_AMBIGUOUS",
        `${system} took the instances and did not report on their commitment within ${seconds} s; it is asked again`,
      );
    return new Map([...outcome].flatMap(([uid, reason]) => (reason === null ? [] : [[uid, reason] as const])));
  },
  count: async (site, system, sent) => {
    const pacs = askPacs(site);
    const missing = new Map<string, number>();
    for (const [study, instances] of Map.groupBy(sent, ({ studyInstanceUid }) => studyInstanceUid)) {
      // How many says nothing of which: others may have sent to the study, and so may an earlier record.
      const held = await pacs.instancesOf(system, study);
      for (const { sopInstanceUid } of instances)
        if (!held.has(sopInstanceUid)) missing.set(sopInstanceUid, failureReasons.noSuchInstance);
    }
    return missing;
  },
};

/** Asks the system for the proof that its configuration wants. */
export const prove: Prove = async (site, system, sent) =>
  sent.length === 0
    ? new Map()
    : await proofs[site.config.own.systems[system]?.dicom?.proof ?? "response"](site, system, sent);

/** Reasons that sending again does not mend. */
const finalReasons: ReadonlySet<number> = new Set([
  failureReasons.classInstanceConflict,
  failureReasons.classNotSupported,
]);

/** What it means that some are unproven: to be sent again, as long as that may mend any of them, or refused. */
export function unprovenFault(system: string, unproven: Unproven, all: number): Fault {
  const reasons = [...new Set(unproven.values())].sort((one, other) => one - other);
  const told = reasons.map((reason) => reason.toString(16).padStart(4, "0").toUpperCase()).join(", ");
  const what = `${system} does not answer for ${unproven.size} of ${all} instances (Failure Reason ${told})`;
  const isFinal = reasons.every((reason) => finalReasons.has(reason));
  return isFinal
    ? new Fault("PEER_REFUSED", `${what}; its administrator must say why it refuses them`)
    : new Fault("PEER_BUSY", `${what}; they are sent again`);
}
