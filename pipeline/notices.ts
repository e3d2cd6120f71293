/** What was corrected, told (decision 8): to the registry as a change of its entry, to other houses as a notice. */
import { contentOf } from "../envelope/index.ts";
import { codeOf, Fault } from "../errors.ts";
import { commandMediaType, writeCommand } from "../formats/command.ts";
import type { DocumentEntry } from "../formats/document-entry.ts";
import type { Delivery, StoredRecord } from "../store/store.ts";
import { isConsenting, isOvertaken, overtaken, toldOfConsent } from "./consents.ts";
import type { Sent } from "./delivery.ts";
import { isMerging, type ToldChange, toldOfMerge } from "./merge.ts";
import { ask } from "./partner.ts";
import { receiptOf, recordOf } from "./route.ts";
import type { Site } from "./site.ts";

/** What `notify` tells of, sealed in its delivery: the document that another house has. */
export type Notice = {
  readonly action: "cancel" | "replace";
  readonly uniqueId: string;
  readonly manifestSha256: string;
};

/** Tells the registry what has changed: an entry is deprecated (only by who registered it), two ids are one patient's, or what a patient allows. */
export async function change(site: Site, delivery: Delivery): Promise<Sent> {
  if (isConsenting(delivery) && isOvertaken(site, delivery)) return overtaken;
  const { command, named, ...told } = isMerging(delivery)
    ? toldOfMerge(delivery)
    : isConsenting(delivery)
      ? toldOfConsent(site, delivery)
      : deprecation(site, delivery);
  const asked = await ask(site, delivery.destination, {
    path: "/registry/changes",
    purpose: "change",
    message: delivery.id,
    messageType: "change",
    content: [await contentOf(command, "command", commandMediaType)],
    answers: ["receipt"],
  }).catch((thrown: unknown) => {
    throw delivery.record === null ? thrown : unlessLost(site, delivery, thrown);
  });
  await receiptOf(site, delivery, asked, [named]);
  return { changes: asked.kept, ...told, answer: "receipt verified" };
}

/** A registry that does not know what it has signed for has lost it: what is changed there follows what is registered again. */
function unlessLost(site: Site, { destination }: Delivery, thrown: unknown): unknown {
  if (!(thrown instanceof Fault) || codeOf(thrown.cause) !== "DOCUMENT_UNKNOWN") return thrown;
  site.doubt(destination);
  return new Fault("PEER_BUSY", `${destination} does not know what it has signed to have; asking what it has lost`, {
    cause: thrown,
  });
}

function deprecation(site: Site, delivery: Delivery): ToldChange {
  const { entry, manifestSha256 } = registeredRecord(site, delivery);
  const { uniqueId } = entry as DocumentEntry;
  const command = writeCommand<"change">({ command: "change", action: "deprecate", uniqueId, manifestSha256 });
  return { command, named: manifestSha256, event: "deprecated" };
}

/** Tells a house that a record it has was cancelled, or which one replaces it. */
export async function notify(site: Site, delivery: Delivery): Promise<Sent> {
  const { action, uniqueId, manifestSha256 } = delivery.payload as Notice;
  const record = action === "replace" ? registeredRecord(site, delivery) : recordOf(site, delivery);
  const by = { entry: record.entry as DocumentEntry, manifestSha256: record.manifestSha256 };
  const command = writeCommand<"correction">({
    command: "correction",
    uniqueId,
    manifestSha256,
    by: action === "replace" ? by : null,
  });
  const asked = await ask(site, delivery.destination, {
    path: "/repository/documents",
    purpose: "notify",
    message: delivery.id,
    messageType: "correction",
    content: [await contentOf(command, "command", commandMediaType)],
    answers: ["receipt"],
  });
  await receiptOf(site, delivery, asked, [manifestSha256]);
  return { changes: asked.kept, event: "notified", answer: action };
}

/** What is not registered yet cannot be changed there, nor found by others: it waits its turn. */
function registeredRecord(site: Site, delivery: Delivery): StoredRecord {
  const record = recordOf(site, delivery);
  if (record.state !== "registered") throw new Fault("PEER_BUSY", "the record is not registered yet; this follows it");
  return record;
}
