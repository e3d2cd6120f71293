/**
 * Processes that are measured: `prepare-house FOLDER MIB` keeps one record of an image of so many mebibytes, which `house FOLDER` hands
 * out as hospital A; `prepare-plain` and `plain` do it with a file. `fetch FOLDER PORT` is hospital B's station, `download FOLDER PORT`
 * a program; with `sync` the file is on the disk when it ends.
 */
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import { createReadStream, createWriteStream, mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import { createServer, get } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { setFlagsFromString } from "node:v8";
import { heapGrowth } from "../../commands/run.ts";
import { openRest } from "../../connectors/rest.ts";
import { pemToDer } from "../../envelope/certificate.ts";
import { type Content, sealPart, sign } from "../../envelope/index.ts";
import { openLocations } from "../../exchange/locations.ts";
import { openRepository } from "../../exchange/repository.ts";
import { serve } from "../../exchange/server.ts";
import { openSpools } from "../../exchange/spool.ts";
import type { Registered } from "../../formats/command.ts";
import { loadConfig } from "../../pipeline/config.ts";
import { openEvents } from "../../pipeline/events.ts";
import { loadKeys } from "../../pipeline/identity.ts";
import { openMetrics } from "../../pipeline/metrics.ts";
import { retrieve } from "../../pipeline/open.ts";
import { newDelivery } from "../../pipeline/route.ts";
import type { Site } from "../../pipeline/site.ts";
import { openStopped } from "../../pipeline/stops.ts";
import { openStore } from "../../store/index.ts";
import { documentOf } from "../../test/exchange/indexed.ts";
import { cda, chen } from "../../test/fixtures/documents.ts";

const mebibyte = 1 << 20;
const root = join(import.meta.dirname, "../..");
const [verb = "", folder = "", third = "", fourth] = process.argv.slice(2);
const pki = join(folder, "pki");
const knownFile = join(folder, "known.json");
const now = (): Date => new Date();
const quiet = (): void => undefined;

/** A house of the shipped configuration: its store, keys and revocation list, and nothing that listens. */
async function house(name: "hospital-a" | "hospital-b", kept: string, port = 0) {
  const data = join(folder, kept);
  mkdirSync(data, { recursive: true });
  const config = loadConfig(join(root, "channels.yaml"), { SITE: name, PKI: pki, DATA: data, A_PORT: String(port) });
  const { identity: known, tls, storageKey } = loadKeys(config);
  const crls = pemToDer(readFileSync(join(pki, "ca.crl"), "utf8"), "X509 CRL");
  const identity = { ...known, trust: { ...known.trust, crls } };
  const store = await openStore({ folder: config.own.data, key: storageKey, now });
  return { data, config, identity, tls, store };
}

async function* each(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes;
}

async function* mebibytes(count: number): AsyncGenerator<Uint8Array> {
  const piece = randomBytes(mebibyte);
  for (let n = 0; n < count; n += 1) {
    piece.writeUInt32BE(n);
    yield piece;
  }
}

const told = (what: object): void => void process.stdout.write(`${JSON.stringify(what)}\n`);

/** The memory of who hands out is not that of who took in: that is another process. */
async function openHouse() {
  const { data, identity, tls, store } = await house("hospital-a", "kept");
  const exchange = {
    ...{ identity, store, tls, now, log: quiet, passed: quiet },
    spools: openSpools(join(data, "spool")),
    locations: openLocations(join(data, "retrievals"), now),
  };
  const nothing = async (): Promise<void> => undefined;
  return {
    exchange,
    store,
    identity,
    repository: openRepository(exchange, { pushed: nothing, corrected: nothing, related: nothing, legacy: nothing }),
  };
}

async function prepareHouse(): Promise<void> {
  rmSync(join(folder, "kept"), { recursive: true, force: true });
  const { store, identity, repository } = await openHouse();
  const kept = async (body: AsyncIterable<Uint8Array>, form: "whole" | "segments") => {
    const part = sealPart(body, form);
    const { name, change } = await store.blobs.put(part.cipher, part.facts);
    await store.commit([change]);
    return { blob: name, facts: part.facts(), cipher: () => store.blobs.read(name) };
  };
  const text = { form: "113", extension: "LARGE", patient: chen, code: "11502-2", display: "x", title: "t", body: "x" };
  const [document, image] = [await kept(each(cda(text)), "whole"), await kept(mebibytes(Number(third)), "segments")];
  const content: readonly Content[] = [
    { role: "cda", type: "text/xml", ...document },
    { role: "dicom", type: "application/dicom", sop: "1.2.3", ...image },
  ];
  const to = [{ org: identity.org, certificate: identity.self.decrypt ?? new Uint8Array() }];
  const id = store.newId();
  const draft = { purpose: "provide", message: id, sender: identity.org, messageType: "113", to, content } as const;
  const { manifest, signature, manifestSha256 } = await sign(draft, identity.signer, now());
  const { sha256, size } = document.facts;
  const entry = documentOf("large", { hash: sha256 ?? "", size });
  await repository.provide({
    ...{ id, channel: "imaging", manifest, signature, patients: [], entry, also: [], createdAt: now().toISOString() },
    key: store.tokens.of("document", "", entry.uniqueId),
    parts: [
      { n: 1, blob: document.blob },
      { n: 5, blob: image.blob },
    ],
  });
  const registered = { id, entry, org: identity.org, manifestSha256, registeredAt: now().toISOString() };
  writeFileSync(knownFile, JSON.stringify(registered));
  await store.close();
}

async function serveHouse(): Promise<void> {
  const { exchange, repository } = await openHouse();
  const serving = await serve({ host: "127.0.0.1", port: 0 }, repository.resources, exchange, () => true);
  told({ port: Number(serving.address.split(":")[1]) });
}

const preparePlain = (): Promise<void> => pipeline(mebibytes(Number(third)), createWriteStream(join(folder, "plain")));

async function servePlain(): Promise<void> {
  const file = join(folder, "plain");
  const server = createServer(
    { ...keysOf("hospital-a"), requestCert: true, rejectUnauthorized: true },
    (_, response) => {
      response.setHeader("Content-Length", statSync(file).size);
      createReadStream(file, { highWaterMark: mebibyte }).pipe(response);
    },
  ).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  told({ port });
}

const pem = (name: string): string => readFileSync(join(pki, name), "utf8");
const keysOf = (org: string) => ({ key: pem(`${org}/tls.key`), cert: pem(`${org}/tls.crt`), ca: pem("ca.crt") });

/** Octets a second and CPU of the work, without the start of the process. */
async function timed(work: () => Promise<number>): Promise<void> {
  const [started, cpu] = [performance.now(), process.cpuUsage()];
  const octets = await work();
  const { user, system } = process.cpuUsage(cpu);
  const seconds = (performance.now() - started) / 1000;
  told({ units: octets / mebibyte, seconds, cpuMs: (user + system) / 1000 });
}

async function fetchRecord(): Promise<void> {
  const registered = JSON.parse(readFileSync(knownFile, "utf8")) as Registered;
  const port = Number(third);
  const { data, config, identity, tls, store } = await house("hospital-b", `fetched-${process.pid}`, port);
  const stopping = new AbortController();
  const partner = identity.partners.get("hospital-a");
  const rest = openRest({ url: `https://127.0.0.1:${port}`, ...tls, expectCertificateSha256: partner?.tls ?? "" });
  const site: Site = {
    ...{ config, identity, tls, store, now, signal: stopping.signal, metrics: openMetrics(config.site, store) },
    ...openEvents(quiet, now),
    ...{ rest: () => rest, renew: () => [], wake: quiet, doubt: quiet, stopped: openStopped(store) },
  };
  const payload = { registered, admission: null };
  await timed(async () => {
    const { changes } = await retrieve(site, { ...newDelivery(site, "retrieve", "incoming", "hospital-a"), payload });
    await store.commit(changes);
    const parts = store.records.find(registered.id)?.parts ?? [];
    return store.blobs.facts(parts[1]?.blob ?? "").size;
  });
  rest.close();
  await store.close();
  rmSync(data, { recursive: true });
}

async function download(): Promise<void> {
  const path = join(folder, `copy-${process.pid}`);
  await timed(async () => {
    const request = get({ host: "127.0.0.1", port: third, ...keysOf("hospital-b") });
    const [response] = (await once(request, "response")) as [IncomingMessage];
    const file = createWriteStream(path);
    await pipeline(response, file);
    if (fourth === "sync") {
      const written = await open(path, "r+");
      await written.datasync();
      await written.close();
    }
    return file.bytesWritten;
  });
  rmSync(path);
}

setFlagsFromString(heapGrowth);
process.once("SIGTERM", () => process.exit(0));
const verbs: Readonly<Record<string, () => Promise<void>>> = {
  "prepare-house": prepareHouse,
  house: serveHouse,
  "prepare-plain": preparePlain,
  plain: servePlain,
  fetch: fetchRecord,
  download,
};
await verbs[verb]?.();
