/** What a site's listener owes over its restarts: reports of storage commitment, as rows of the store. */
import type { Pledge, Pledges } from "../connectors/connector.ts";
import type { Site } from "./site.ts";

/** Those of one system. */
export function openPledges({ store }: Site, system: string): Pledges {
  const settle = (id: string) => async (): Promise<void> => await store.commit([store.commitments.drop(id)]);
  return {
    keep: async (pledge) => {
      const id = store.newId();
      await store.commit([store.commitments.add({ id, system, request: pledge })]);
      return settle(id);
    },
    left: () =>
      store.commitments.of(system).map(({ id, request }) => ({ pledge: request as Pledge, settle: settle(id) })),
  };
}
