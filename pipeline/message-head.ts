/** The MSH line of a message, with what the configuration of its system says where the message says nothing, or the wrong thing. */
import { type Fault, orFault } from "../errors.ts";
import { type MessageFacts, readMsh } from "../formats/hl7.ts";
import type { Site } from "./site.ts";

/** Kept with an arrival, sealed: in what its octets were read, whatever is configured when they are read again. */
export type SpooledFacts = { readonly charset: string };

/** `charset` as it is configured, or was. HL7_MALFORMED or HL7_UNSUPPORTED for what is no message. */
export function readHead(
  { own }: Site["config"],
  system: string,
  bytes: Uint8Array,
  charset = "from-msh-18",
): MessageFacts | Fault {
  const authority = own.systems[system]?.mllp?.authority;
  return orFault(() => readMsh(bytes, { authority, ...(charset === "from-msh-18" ? {} : { charset }) }));
}
