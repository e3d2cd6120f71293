/** Accesses in an emergency, for a person of the registry: what waits to be looked at, and that it was looked at, by whom and why. */
import { Fault } from "../errors.ts";
import type { Emergency } from "../store/emergencies.ts";
import type { Id } from "../store/store.ts";
import type { Site } from "./site.ts";

/** What is told of one; whom it was about is in the audit log, where reading is an entry. */
export type EmergencyLine = Emergency & {
  /** Why, as who asked said. */
  readonly reason: string | null;
  /** Entries that were told. */
  readonly count: number | null;
};
export type Reviewed = { readonly id: Id; readonly reviewedAt: string };

/** What a person can find. */
export const findings = ["justified", "unjustified"] as const;
export type Review = { readonly by: string; readonly finding: (typeof findings)[number]; readonly reason: string };

/** Those that wait for a review, oldest first, or all of them, newest first. */
export const listEmergencies = ({ store }: Site, query: { all: boolean; limit: number }): readonly EmergencyLine[] =>
  store.emergencies.list(query).map((each) => {
    const [entry] = store.audit.after(each.seq - 1, 1);
    return { ...each, reason: entry?.reason ?? null, count: entry?.count ?? null };
  });

/** DOCUMENT_UNKNOWN where there is none of this id, QUERY_INVALID where there are several; STORE_CONFLICT where it was reviewed before. */
export async function reviewEmergency({ store, now, log }: Site, query: string, review: Review): Promise<Reviewed> {
  const { by, finding, reason } = review;
  const [found, other] = /^[0-9a-f]{4,32}$/.test(query) ? store.emergencies.find(query) : [];
  if (!found) throw new Fault("DOCUMENT_UNKNOWN", "no access in an emergency has this id; semrs emergency list --all");
  if (other) throw new Fault("QUERY_INVALID", "several ids end so; write more of it");
  if (found.reviewedAt) throw new Fault("STORE_CONFLICT", `it was reviewed at ${found.reviewedAt}; that stays`);
  const reviewedAt = now().toISOString();
  await store.commit([
    store.emergencies.review(found.id, reviewedAt),
    ...store.audit.add({
      event: "review",
      subject: found.id,
      peer: found.org,
      code: finding.toUpperCase(),
      reason: `${by}: ${reason}`,
    }),
  ]);
  log("admin.reviewed", { message: found.id, peer: found.org, code: finding.toUpperCase() }, "warn");
  return { id: found.id, reviewedAt };
}
