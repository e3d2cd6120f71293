/** What a registry or repository of IHE XDS says in the place of our codes (ITI TF-3 4.2.4.1, Table 4.2.4.1-2): for whoever translates between them. */
import type { ErrorCode } from "../../errors.ts";

/** Everything that a registry or repository refuses a request with, once it has read it; the second is of a repository where it differs. */
export const xdsCodes: Partial<Record<ErrorCode, readonly [registry: string, repository?: string]>> = {
  QUERY_INVALID: ["XDSStoredQueryParamNumber"],
  CURSOR_INVALID: ["XDSStoredQueryParamNumber"],
  NOT_PERMITTED: ["XDSRegistryError", "XDSRepositoryError"],
  PATIENT_UNKNOWN: ["XDSUnknownPatientId"],
  RECIPIENT_UNKNOWN: ["XDSRegistryError"],
  DOCUMENT_UNKNOWN: ["UnresolvedReferenceException", "XDSDocumentUniqueIdError"],
  DOCUMENT_REMOVED: ["UnresolvedReferenceException", "XDSDocumentUniqueIdError"],
  METADATA_INVALID: ["XDSMetadataUpdateError"],
  DOCUMENT_CONFLICT: ["XDSNonIdenticalHash"],
  ENVELOPE_REPLAYED: ["XDSRegistryError", "XDSRepositoryError"],
  ENVELOPE_CONFLICT: ["XDSRegistryDuplicateUniqueIdInMessage", "XDSRepositoryDuplicateUniqueIdInMessage"],
  ENVELOPE_EXPIRED: ["XDSRegistryError", "XDSRepositoryError"],
  CDA_INVALID: ["InvalidDocumentContent"],
  TOO_LARGE: ["XDSRegistryOutOfResources", "XDSRepositoryOutOfResources"],
  STORE_FULL: ["XDSRegistryOutOfResources", "XDSRepositoryOutOfResources"],
  PEER_BUSY: ["XDSRegistryBusy", "XDSRepositoryBusy"],
  REVOCATION_STALE: ["XDSRegistryNotAvailable", "XDSRepositoryError"],
  CLOCK_BEHIND: ["XDSRegistryNotAvailable", "XDSRepositoryError"],
  STOPPING: ["XDSRegistryNotAvailable", "XDSRepositoryError"],
  UNEXPECTED: ["XDSRegistryError", "XDSRepositoryError"],
};
