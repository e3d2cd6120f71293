/** Commits arrivals for ever and prints each id once it is acknowledged: to be killed. `load.ts FOLDER KEY` */
import { openStore } from "../../store/index.ts";
import { arrivalRow } from "./rows.ts";

const [, , folder = "", key = ""] = process.argv;
const store = await openStore({ folder, key: Buffer.from(key, "hex"), now: () => new Date() });

async function accept(): Promise<never> {
  for (;;) {
    const id = store.newId();
    const audit = store.audit.add({ event: "message", subject: id, patients: [{ patient: `1${id}`, ids: [id] }] });
    await store.commit([store.arrivals.add(arrivalRow(id)), ...audit], [{ id, digest: "00" }]);
    process.stdout.write(`${id}\n`);
  }
}

await Promise.all(Array.from({ length: 16 }, accept));
