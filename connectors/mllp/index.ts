/** MLLP: HL7 v2 in and out. */
export { keepOnly, mllpDestination } from "./destination.ts";
export { mllpSource } from "./source.ts";
