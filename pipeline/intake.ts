/**
 * Station `source`: what a system sends is made durable, then acknowledged. One function a system; the
 * connector answers its peer from the promise and the verdict that come back, and from nothing else.
 */
import type { Arrival, Deliver } from "../connectors/connector.ts";
import { codeOf, type ErrorCode, Fault, reasonOf } from "../errors.ts";
import { belowReserve } from "../store/reserve.ts";
import type { InstanceIntake } from "./intake-instance.ts";
import type { MessageIntake } from "./intake-message.ts";
import type { Site } from "./site.ts";

const intakes = ["application/hl7-v2", "application/dicom", "application/octet-stream"] as const;

/** Faults under which an arrival leaves no row; every other refusal is quarantined, and told there. */
const unkept: ReadonlySet<ErrorCode> = new Set(["STORE_FULL", "STORE_DAMAGED", "STOPPING", "UNEXPECTED"]);

/**
 * Gives each arrival to the intake of its media type. `isFolder`: files of a watched folder, which tells by itself, and once, what
 * could not be kept; a file's name identifies no message, and may be a patient's.
 */
export function openIntake(
  site: Site,
  system: string,
  messages: MessageIntake,
  instance: InstanceIntake,
  isFolder = false,
): Deliver {
  const byType: Readonly<Record<(typeof intakes)[number], (arrival: Arrival) => ReturnType<Deliver>>> = {
    "application/hl7-v2": (arrival) => messages(system, arrival),
    "application/dicom": (arrival) => instance(system, arrival),
    "application/octet-stream": (arrival) => messages(system, arrival),
  };
  return async (came) => {
    const arrival = isFolder ? { ...came, controlId: "" } : came;
    try {
      // Before a file of it is written: what is refused would stay on the disk until the next start.
      if (!site.store.reserve.hasSpace()) throw belowReserve();
      site.stopped.admit("system", system);
      const intake = byType[arrival.mediaType as (typeof intakes)[number]];
      if (!intake) throw new Fault("HL7_UNSUPPORTED", `${system} takes HL7 v2 messages and DICOM instances`);
      return await intake(arrival);
    } catch (thrown) {
      // What could not even be kept (a full disk, a stop) leaves no row: the log is where it is told. DICOM and a folder tell it themselves.
      const { controlId, sender: peer } = arrival;
      const code = codeOf(thrown);
      const isTold = isFolder || arrival.mediaType === "application/dicom" || !unkept.has(code);
      if (!isTold) site.log("source.unkept", { controlId, peer, code, reason: reasonOf(thrown) }, "error");
      throw thrown;
    }
  };
}
