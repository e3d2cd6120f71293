/** The process that is measured: instances rest as sealed blobs in a store and go out by C-STORE, as a delivery sends them; told by its parent. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type DicomItem, dicomDestination } from "../../connectors/dicom/scu.ts";
import { openCipher, sealPart } from "../../envelope/index.ts";
import { openStore } from "../../store/index.ts";
import { ctInstances } from "../load.ts";

export type Order = {
  readonly port: number;
  readonly calledAeTitle: string;
  readonly associations: number;
  readonly units: number;
  /** Folder of keys that `pki init` made, with a site named semrs. */
  readonly pki?: string;
};
export type Told = {
  readonly delivered: number;
  readonly seconds: number;
  readonly cpuMs: number;
  readonly rssMb: number;
};

const [folder = "", count = "0"] = process.argv.slice(2);
const { signal } = new AbortController();
const context = { log: () => undefined, signal };
const store = await openStore({ folder: join(folder, "data"), key: Buffer.alloc(32, 1), now: () => new Date() });

/** A sealed instance: read, verified and opened as it is sent. */
async function kept(item: DicomItem): Promise<DicomItem> {
  const part = sealPart(item.body(), "segments");
  const blob = await store.blobs.put(part.cipher, part.facts);
  await store.commit([blob.change]);
  return { ...item, body: () => openCipher(store.blobs.read(blob.name), store.blobs.facts(blob.name)) };
}

const items: DicomItem[] = [];
for (const item of ctInstances(Number(count))) items.push(await kept(item));

process.on("message", async ({ port, calledAeTitle, associations, units, pki }: Order) => {
  const options = dicomDestination.options.parse({
    host: "127.0.0.1",
    port,
    callingAeTitle: "SEMRS_B",
    calledAeTitle,
    associations,
    ...(pki && { host: "localhost", tls: tlsOf(pki) }),
  });
  const before = process.cpuUsage();
  const started = performance.now();
  let delivered = 0;
  const count = (_item: unknown, { state }: { readonly state: string }): void => {
    if (state === "delivered") delivered += 1;
  };
  await dicomDestination.send(options, each(items.slice(0, units)), count, context);
  const seconds = (performance.now() - started) / 1000;
  const { user, system } = process.cpuUsage(before);
  const told: Told = { delivered, seconds, cpuMs: (user + system) / 1000, rssMb: process.memoryUsage().rss / 2 ** 20 };
  process.send?.(told);
});
const tlsOf = (pki: string) => {
  const text = (name: string): string => readFileSync(join(pki, name), "utf8");
  return { key: text("semrs/tls.key"), certificate: text("semrs/tls.crt"), ca: text("ca.crt") };
};

process.on("disconnect", () => void store.close());
process.send?.("ready");

async function* each<T>(values: readonly T[]): AsyncGenerator<T> {
  yield* values;
}
