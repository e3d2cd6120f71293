/** What a PACS of the house is asked: how many instances a study has there, which, and to send it to our own listener. */

import { countOf, instancesOf, move } from "../connectors/dicom/query.ts";
import { dicomDestination, type ScuOptions } from "../connectors/dicom/scu.ts";
import { Fault } from "../errors.ts";
import { tlsOf } from "./identity.ts";
import type { Site } from "./site.ts";

/** Asks systems of this house by C-FIND and C-MOVE; each rejects with a `Fault` that says what the PACS's administrator must do. */
export type AskPacs = {
  /** Instances of the study that the system knows. */
  countOf(system: string, studyInstanceUid: string): Promise<number>;
  /** SOP Instance UIDs of the study that the system has. */
  instancesOf(system: string, studyInstanceUid: string): Promise<ReadonlySet<string>>;
  /** Has the system send the study to this site; resolves with how many instances it says it sent. */
  pull(system: string, studyInstanceUid: string): Promise<number>;
};

/** The systems of a site as ones that can be asked. */
export const askPacs = (site: Site): AskPacs => ({
  countOf: async (system, uid) => await countOf(peerOf(site, system), uid, site.signal),
  instancesOf: async (system, uid) => await instancesOf(peerOf(site, system), uid, site.signal),
  // Our AE title is at once caller and destination: one entry at the PACS.
  pull: async (system, uid) => {
    const peer = peerOf(site, system);
    return await move(peer, uid, peer.callingAeTitle, site.signal);
  },
});

/** A system's dicom block as a peer that is called. CONFIG_INVALID when it cannot be. */
export function peerOf({ config, tls }: Site, system: string): ScuOptions {
  const dicom = config.own.systems[system]?.dicom;
  if (!dicom?.connect) throw new Fault("CONFIG_INVALID", `${system} has no dicom.connect; add it`);
  return dicomDestination.options.parse({
    ...dicom,
    ...dicom.connect,
    ...tlsOf(config, tls, dicom.tls),
    callingAeTitle: dicom.aeTitle,
    ...(dicom.listen ? { ourPort: dicom.listen.port } : {}),
  });
}
