/** Documents as a registry is told of them. */
import { submitted } from "../../exchange/submission.ts";
import { type Command, readCommand, writeCommand } from "../../formats/command.ts";
import { type DocumentEntry, entryUuidOf } from "../../formats/document-entry.ts";
import type { Store } from "../../store/store.ts";

/** A document of patient 1 of hospital A. */
export function documentOf(name: string, change: Partial<DocumentEntry> = {}): DocumentEntry {
  const uniqueId = `1.2.3^${name}`;
  const repositoryUniqueId = change.repositoryUniqueId ?? "hospital-a";
  return {
    uniqueId,
    entryUuid: entryUuidOf(repositoryUniqueId, uniqueId),
    patientIds: [{ root: "1.2", extension: "1" }],
    form: "113",
    classCode: "113",
    typeCode: "11502-2",
    formatCode: null,
    practiceSettingCode: null,
    healthcareFacilityTypeCode: null,
    confidentialityCode: "N",
    eventCodeList: [],
    creationTime: "20260101080000+0800",
    serviceStartTime: null,
    serviceStopTime: null,
    author: null,
    legalAuthenticator: null,
    title: null,
    languageCode: "zh-TW",
    mimeType: "text/xml",
    hash: "0".repeat(64),
    size: 1,
    repositoryUniqueId,
    availabilityStatus: "approved",
    referenceIdList: [],
    objectType: "stable",
    relatedDocuments: [],
    images: null,
    ...change,
  };
}

/** The octets that register these documents as one set. */
export const registration = (documents: readonly DocumentEntry[], submissionSet = "0".repeat(32)): Uint8Array =>
  writeCommand<"register">({
    command: "register",
    submissionSet,
    entries: documents.map((entry) => ({ entry, manifestSha256: manifestOf(entry.uniqueId) })),
  });

/** Registers them in this store, as their house. */
export async function enter(store: Store, documents: readonly DocumentEntry[], set = store.newId()): Promise<void> {
  const command: Command<"register"> = readCommand("register", registration(documents, set));
  const org = documents[0]?.repositoryUniqueId ?? "hospital-a";
  await store.commit(submitted(store, org, command, new Date().toISOString()));
}

export const manifestOf = (uniqueId: string): string =>
  Buffer.from(uniqueId).toString("hex").padEnd(64, "0").slice(0, 64);
