/** A record to a partner that speaks semrs-2017 and nothing else: as the paper writes it. */
import type { Partner } from "../envelope/identity.ts";
import { maxBetweenHouses, openCipher, readManifest, seal2017 } from "../envelope/index.ts";
import { Fault } from "../errors.ts";
import type { StoredRecord } from "../store/store.ts";
import { recordPatient } from "./audited.ts";
import { clear } from "./clear.ts";
import type { Sent } from "./delivery.ts";
import { refusedInClear } from "./partner.ts";
import { msSince, type Site, step } from "./site.ts";

/** A record as the paper writes it, sealed anew for each attempt. TOO_LARGE and PEER_REFUSED for what the profile cannot carry. */
export async function pushLegacy(site: Site, record: StoredRecord, to: NonNullable<Partner["legacy"]>): Promise<Sent> {
  const { identity, store, log, signal } = site;
  const [{ org }, { parts, headers }] = [to, readManifest(record.manifest)];
  const roles = parts.map((part) => ("role" in part ? part.role : "command"));
  const [first, ...others] = record.parts;
  if (!identity.legacy || !first || roles[0] !== "cda" || roles.slice(1).some((role) => role !== "dicom"))
    throw new Fault(
      "PEER_REFUSED",
      `${org} speaks semrs-2017, which carries a document and its images and nothing else`,
    );
  const started = performance.now();
  const sealed = await seal2017(
    {
      sender: identity.org,
      to: { org, certificate: to.decrypt, transport: to.transport },
      messageType: headers["X-EEC-MessageType"],
      document: await clear(site, first.blob),
      instances: others.map(({ blob }) => {
        const facts = store.blobs.facts(blob);
        return { size: facts.size, clear: () => openCipher(store.blobs.read(blob), facts) };
      }),
    },
    identity.legacy.signer,
  );
  const bytes = sealed.contentLength;
  if (bytes > maxBetweenHouses)
    throw new Fault("TOO_LARGE", `semrs-2017 between houses takes ${maxBetweenHouses} octets`);
  const response = await site
    .rest(org)
    .post("/semrs/v1/repository/documents", sealed.headers, sealed.body(), bytes, signal);
  site.metrics.exchanged(bytes, response.isEncrypted);
  if (response.status !== 204) throw await refusedInClear(org, response, to.decrypt);
  const { channel, id: message } = record;
  log("route.pushed", { channel, message, peer: org, bytes, ms: msSince(started), reason: "semrs-2017" }, "warn");
  // Who was handed a record is told when it is corrected, and here a person has to do it.
  const released = step(site, record.id, "route", "released", { peer: org, detail: "semrs-2017" });
  const audit = { patients: recordPatient(site, record) };
  return { changes: [released], event: "pushed", answer: "semrs-2017: stored, without a receipt", audit };
}
