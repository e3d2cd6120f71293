/** What a house remembers of documents and records beside them, such as of those that it has not, or not yet: by which names and keys. */

/** By its manifest and who sealed it: another house may name that manifest, too. */
export const sealedBy = (org: string, manifestSha256: string): string => `${org} ${manifestSha256}`;

/** What stands in the ledger in the place of a destination system, and no system is called, since their keys may be the same. */
export const ledgers = {
  /** Documents of this house, or names of one, that were cancelled. */
  cancelled: "cancelled",
  /** Documents of other houses that their authors have cancelled, or replaced before they were here. */
  withdrawn: "withdrawn",
  /** Records that were asked for. */
  retrieval: "retrieval",
  /** Instances of other houses that their authors have replaced. */
  superseded: "superseded",
} as const;
