/** A document of semrs-2017 from a partner that can nothing else: it is signed, its images are not. */
import { hash } from "node:crypto";
import {
  contentDigest,
  type Opened2017,
  type OpenedInstance,
  sealPart,
  sealWhole,
  segmentBytes,
} from "../envelope/index.ts";
import { codeOf, Fault } from "../errors.ts";
import { examineDocument } from "../formats/cda-pool.ts";
import { inspectDicom } from "../formats/dicom.ts";
import { documentEntry } from "../formats/document-entry.ts";
import type { Change, Id, StoredRecord } from "../store/store.ts";
import { recordPatient } from "./audited.ts";
import { begin } from "./identify.ts";
import { headerOf, pushChannel, type Received, type ReceivedFacts } from "./open.ts";
import { receivedInstances } from "./returned.ts";
import { msSince, type Site, step } from "./site.ts";
import { type Stage, staging, withBodies } from "./staging.ts";

/** A document and its images, durable in one commit with the answer to their envelope. What came before, in another one, is not kept twice. */
export async function receiveLegacy(site: Site, opened: Opened2017, answered: Change): Promise<void> {
  const { store, now, log } = site;
  const { org, document, documentSha256: sha256, signature, instances: images } = opened;
  const started = performance.now();
  const channel = pushChannel(site, org);
  const { blob, cda, kept } = await staging(async (stage) => {
    const part = sealWhole(document);
    const blob = stage(await store.blobs.put(part.cipher, part.facts));
    const { facts: cda } = await examineDocument(document);
    const kept: Kept[] = [];
    for (const image of images) kept.push(await keep(site, image, stage));
    return { blob, cda, kept };
  });
  const size = document.length;
  const entry = documentEntry(cda, { sha256, size, repositoryUniqueId: org, images: null });
  const parts = [{ n: 1, role: "cda", type: "text/xml", size, sha256 } as const, ...kept.map(({ part }) => part)];
  const id: Id = digest(`semrs-2017\0${org}\0${contentDigest({ parts, origin: null })}`).slice(0, 32);
  const facts: ReceivedFacts = {
    entry,
    appends: null,
    profile: "semrs-2017",
    header: headerOf(cda),
    instances: kept.map(({ part: { n, sop } }) => ({ n, sopInstanceUid: sop })),
  };
  // In the place of a manifest, what is left to prove: the signature is over the digest of the document.
  const { envelopeSha256: envelope, signer } = opened;
  const certificate = Buffer.from(signer).toString("base64");
  const manifest = Buffer.from(JSON.stringify({ profile: "semrs-2017", document: sha256, envelope, certificate }));
  const record: StoredRecord = {
    id,
    channel: channel.name,
    origin: "received",
    author: org,
    manifest,
    signature,
    manifestSha256: digest(manifest),
    key: store.tokens.of("document", "", entry.uniqueId),
    parts: [{ n: 1, blob: blob.name }, ...kept.map(({ part: { n }, blob: { name } }) => ({ n, blob: name }))],
    patients: entry.patientIds.map(({ root, extension }) => store.tokens.of("patient", "", extension || root)),
    state: "opened",
    code: null,
    reason: null,
    entry: facts,
    createdAt: now().toISOString(),
  };
  const detail = `document verified; ${kept.length} images, integrity: none`;
  const changes = [
    blob.change,
    ...kept.map((each) => each.blob.change),
    ...store.records.add(record),
    ...receivedInstances(site, id, facts.instances),
    ...begin(site, channel, { record, facts } as Received, null),
    step(site, id, "open", "opened", { peer: org, detail }),
    ...store.audit.add({
      event: "submission",
      subject: id,
      peer: org,
      manifest: record.manifestSha256,
      count: parts.length,
    }),
    ...store.audit.add({ event: "open", subject: id, peer: org, patients: recordPatient(site, record) }),
  ];
  const isKnown = (): boolean => store.records.find(id) !== undefined;
  const bodies = [blob, ...kept.map(({ blob }) => blob)];
  if (isKnown()) for (const each of bodies) await each.drop();
  const commit = () => store.commit(isKnown() ? [answered] : [answered, ...changes]);
  await withBodies(bodies, commit).catch(async (thrown: unknown) => {
    if (codeOf(thrown) !== "STORE_CONFLICT" || !isKnown()) throw thrown;
    await store.commit([answered]);
  });
  log("open.opened", {
    channel: channel.name,
    message: id,
    peer: org,
    count: kept.length,
    ms: msSince(started),
    reason: detail,
  });
  site.wake();
}

type Kept = Awaited<ReturnType<typeof keep>>;

/** An image goes under a key of its own; what is no instance is refused with all that came with it. */
async function keep({ store }: Site, { n, clear }: OpenedInstance, stage: Stage) {
  const inspector = inspectDicom();
  const sealed = sealPart(clear(), "segments", undefined, (chunk) =>
    chunk ? inspector.push(chunk) : inspector.ended(),
  );
  const blob = stage(await store.blobs.put(sealed.cipher, sealed.facts));
  const instance = inspector.finish();
  const { size, root, segs } = sealed.facts();
  if (!instance || !root || !segs) throw new Fault("DICOM_INVALID", `part ${n} is no instance`);
  const part = {
    n,
    role: "dicom",
    type: "application/dicom",
    size,
    seg: segmentBytes,
    segs: Buffer.from(segs).toString("base64"),
    root,
    sop: instance.sopInstanceUid,
  } as const;
  return { blob, part };
}

const digest = (octets: string | Uint8Array): string => hash("sha256", octets);
