/**
 * Station `source`: what a system sends is made durable, then acknowledged (decision 1). One function a system; the
 * connector answers its peer from the promise and the verdict that come back, and from nothing else.
 */
import type { Arrival, Deliver } from "../connectors/connector.ts";
import { Fault } from "../errors.ts";
import type { InstanceIntake } from "./intake-instance.ts";
import type { MessageIntake } from "./intake-message.ts";

const intakes = ["application/hl7-v2", "application/dicom", "application/octet-stream"] as const;

/** Gives each arrival to the intake of its media type. */
export function openIntake(system: string, message: MessageIntake, instance: InstanceIntake): Deliver {
  const byType: Readonly<Record<(typeof intakes)[number], (arrival: Arrival) => ReturnType<Deliver>>> = {
    "application/hl7-v2": (arrival) => message(system, arrival),
    "application/dicom": (arrival) => instance(system, arrival),
    "application/octet-stream": (arrival) => message(system, arrival),
  };
  return async (arrival) => {
    const intake = byType[arrival.mediaType as (typeof intakes)[number]];
    if (!intake) throw new Fault("HL7_UNSUPPORTED", `${system} takes HL7 v2 messages and DICOM instances`);
    return await intake(arrival);
  };
}
