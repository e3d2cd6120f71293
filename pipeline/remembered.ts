/** What a house remembers of a record that it has not, or not yet. */

/** By its manifest and who sealed it: another house may name that manifest, too. */
export const sealedBy = (org: string, manifestSha256: string): string => `${org} ${manifestSha256}`;
