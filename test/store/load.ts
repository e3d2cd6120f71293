/** Commits arrivals for ever and prints each id once it is acknowledged: to be killed. `load.ts FOLDER KEY` */
import { writeSync } from "node:fs";
import { openStore } from "../../store/index.ts";

const [, , folder = "", key = ""] = process.argv;
const store = await openStore({ folder, key: Buffer.from(key, "hex"), now: () => new Date() });

async function accept(): Promise<never> {
  for (;;) {
    const id = store.newId();
    const row = {
      id,
      source: "his",
      channel: null,
      mediaType: "x",
      controlId: "c",
      sender: "s",
      repetition: null,
      digest: "d",
      blob: null,
      state: "accepted",
      code: null,
      reason: null,
      receivedAt: new Date().toISOString(),
      facts: null,
    } as const;
    await store.commit([store.arrivals.add(row)], [{ id, digest: "00" }]);
    writeSync(1, `${id}\n`);
  }
}

await Promise.all(Array.from({ length: 16 }, accept));
