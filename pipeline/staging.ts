/** Bodies that are kept for one thing, a record or a message: where that fails their files go, and do not wait for the next start. */
import { codeOf } from "../errors.ts";
import type { StagedBlob } from "../store/store.ts";

/** Is told of each body that is kept. */
export type Stage = (blob: StagedBlob) => StagedBlob;

/** The same ahead of the commit, which is made within `withBodies`. */
export async function stagedBy<T>(
  work: (stage: Stage) => Promise<T>,
): Promise<{ readonly made: T; readonly bodies: readonly StagedBlob[] }> {
  const bodies: StagedBlob[] = [];
  const made = await staging((stage) =>
    work((blob) => {
      bodies.push(blob);
      return stage(blob);
    }),
  );
  return { made, bodies };
}

/** A commit that keeps these. */
export const withBodies = (bodies: readonly StagedBlob[], commit: () => Promise<void>): Promise<void> =>
  staging(async (stage) => {
    for (const each of bodies) stage(each);
    await commit();
  });

/** The commit of them may be part of the work. Of one that failed with the store nobody knows what it has kept. */
export async function staging<T>(work: (stage: Stage) => Promise<T>): Promise<T> {
  const staged: StagedBlob[] = [];
  try {
    return await work((blob) => {
      staged.push(blob);
      return blob;
    });
  } catch (thrown) {
    if (codeOf(thrown) !== "STORE_DAMAGED") for (const blob of staged) await blob.drop();
    throw thrown;
  }
}
