/** `semrs reload` that moves a HIS: what waits for a connection there goes to where it is now. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { mllpSource } from "../connectors/mllp/index.ts";
import { readMsh } from "../formats/hl7.ts";
import { adtFor, cda, chen, mdmFor } from "./fixtures/documents.ts";
import { openExchange, testPki, until } from "./sites.ts";

/** A HIS that answers once it is told to. */
async function openHis(answering: Promise<void>) {
  const got: string[] = [];
  const options = mllpSource.options.parse({ host: "127.0.0.1", port: 0 });
  const context = { log: () => undefined, signal: new AbortController().signal };
  const { address, stop } = await mllpSource.listen(
    options,
    async ({ body }) => {
      got.push(readMsh(Buffer.concat(await Array.fromAsync(body))).controlId);
      await answering;
      return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
    },
    context,
  );
  return { got, stop, port: address.slice(address.lastIndexOf(":") + 1) };
}
const report = (extension: string): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });

test("one is on the wire to the old address, the others go to the new one, each once", async () => {
  const { promise, resolve: answer } = Promise.withResolvers<void>();
  const [old, moved] = [await openHis(promise), await openHis(Promise.resolve())];
  const exchange = await openExchange(await testPki(), { RETRY: "100ms", B_HIS: old.port }, (yaml) =>
    yaml.replace("order: patient", "order: none").replace('connect: "127.0.0.1:${B_HIS', "keepSeconds: 60, $&"),
  );
  try {
    const b = exchange.admin("hospital-b");
    await b.post("/stops/his/pause", { reason: "three are to wait" });
    for (const n of [1, 2, 3]) await exchange.message(mdmFor(report(`MOVED.${n}`), { controlId: `M${n}` }));
    await exchange.registered(3);
    await exchange.message(adtFor(`${chen.national}^^^MOI^NI`), "B_ADT");
    const deliveries = async () => (await b.get<{ deliveries: Record<string, number> }>("/counts")).deliveries;
    await until("three wait", async () => (await b.get<readonly unknown[]>("/records")).length === 3);
    await b.post("/stops/his/resume", { reason: "all at once" });
    await until("all are under way", async () => old.got.length === 1 && (await deliveries()).inflight === 3);
    const file = join(exchange.folder, "hospital-b.yaml");
    writeFileSync(file, readFileSync(file, "utf8").replace(/127\.0\.0\.1:\$\{B_HIS[^}]*\}/, `127.0.0.1:${moved.port}`));
    await b.post("/reload", {});
    await until("two are there", () => moved.got.length === 2);
    answer();
    await until("all are delivered", async () => (await deliveries()).inflight === undefined);
    expect([old.got.length, moved.got.length, new Set([...old.got, ...moved.got]).size]).toEqual([1, 2, 3]);
  } finally {
    answer();
    await exchange.close();
    await Promise.all([old.stop(), moved.stop()]);
  }
});
