/** Bodies that are kept for one thing, a record or a message: where that fails their files go, and do not wait for the next start. */
import { codeOf } from "../errors.ts";
import type { StagedBlob } from "../store/store.ts";

/** Is told of each body that is kept. */
export type Stage = (blob: StagedBlob) => StagedBlob;

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
