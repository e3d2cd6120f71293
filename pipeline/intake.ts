/**
 * Station `source`: what a system sends is made durable, then acknowledged (decision 1). One function a system; the
 * connector answers its peer from the promise and the verdict that come back, and from nothing else.
 */
import type { Arrival, Deliver } from "../connectors/connector.ts";
import { codeOf, type ErrorCode, Fault, reasonOf } from "../errors.ts";
import { belowReserve } from "../store/reserve.ts";
import type { InstanceIntake } from "./intake-instance.ts";
import type { MessageIntake } from "./intake-message.ts";
import type { Site } from "./site.ts";

const intakes = ["application/hl7-v2", "application/dicom", "application/octet-stream"] as const;

/** Faults under which a message leaves no row; every other refusal is quarantined, and told there. */
const unkept: ReadonlySet<ErrorCode> = new Set(["STORE_FULL", "STORE_DAMAGED", "STOPPING", "UNEXPECTED"]);

/** Gives each arrival to the intake of its media type. */
export function openIntake(site: Site, system: string, messages: MessageIntake, instance: InstanceIntake): Deliver {
  /** What could not even be kept (a full disk, a stop) is answered AR and leaves no row: the log is where it is told. */
  const message = async (arrival: Arrival): ReturnType<Deliver> => {
    try {
      return await messages(system, arrival);
    } catch (thrown) {
      const { controlId, sender: peer } = arrival;
      const code = codeOf(thrown);
      if (unkept.has(code)) site.log("source.unkept", { controlId, peer, code, reason: reasonOf(thrown) }, "error");
      throw thrown;
    }
  };
  const byType: Readonly<Record<(typeof intakes)[number], (arrival: Arrival) => ReturnType<Deliver>>> = {
    "application/hl7-v2": message,
    "application/dicom": (arrival) => instance(system, arrival),
    "application/octet-stream": message,
  };
  return async (arrival) => {
    // Before a file of it is written: what is refused would stay on the disk until the next start.
    if (!site.store.reserve.hasSpace()) {
      const { controlId, sender: peer } = arrival;
      site.log("source.unkept", { controlId, peer, code: "STORE_FULL", reason: belowReserve().message }, "error");
      throw belowReserve();
    }
    site.stopped.admit("system", system);
    const intake = byType[arrival.mediaType as (typeof intakes)[number]];
    if (!intake) throw new Fault("HL7_UNSUPPORTED", `${system} takes HL7 v2 messages and DICOM instances`);
    return await intake(arrival);
  };
}
