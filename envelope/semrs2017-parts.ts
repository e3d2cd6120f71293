/** What a semrs-2017 envelope says in the clear, and its parts as they come: small ones held, DICOM documents spooled unread. */
import { createHash } from "node:crypto";
import { Fault } from "../errors.ts";
import { buffered } from "./buffered.ts";
import { sealedHeaders } from "./headers.ts";
import { type HeaderName, headerNames, maxParts } from "./manifest.ts";
import { readParts } from "./mime.ts";
import { maxPartBytes, maxWholeBytes } from "./part.ts";
import { profileOf } from "./profile.ts";
import { boundaryOf, type RawHeaders, valuesOf } from "./raw-headers.ts";
import { blockBytes } from "./semrs2017-algorithms.ts";
import { cbcLength } from "./semrs2017-cbc.ts";
import type { Spool, Spooled } from "./spool.ts";

/** A DICOM part that was put aside: its length, and its last two blocks, which tell its padding. */
export type Aside = Spooled & { readonly length: number; readonly end: Uint8Array };

export type Taken = {
  readonly sealed: Readonly<Record<HeaderName, string>>;
  readonly encEmr: Uint8Array;
  readonly encDist: Uint8Array;
  readonly encSign: Uint8Array;
  readonly encKey: Uint8Array;
  readonly encDicom: readonly Aside[];
  /** SHA-256 (hex) over the nine headers and the body: two envelopes with the same one are the same octets. */
  readonly envelopeSha256: string;
};

/** Room for an RSA-8192 signature under CBC; the digest and the key are smaller. */
const maxSmallBytes = 2048;
/** Parts 2 to 4, beside the documents. */
const smallParts = 3;
const endBytes = 2 * blockBytes;

/** ENVELOPE_UNSUPPORTED, ENVELOPE_MALFORMED, TOO_LARGE: what anybody on the way could have seen. Nothing is decrypted. */
export async function takeParts(headers: RawHeaders, body: AsyncIterable<Uint8Array>, spool: Spool): Promise<Taken> {
  if (profileOf(headers) !== "semrs-2017")
    throw new Fault("ENVELOPE_UNSUPPORTED", "no envelope profile that this partner uses; it sends semrs-2017");
  const values = valuesOf(headers);
  const sealed = sealedHeaders(values);
  const digest = createHash("sha256");
  for (const name of headerNames) digest.update(`${name.toLowerCase()}\0${sealed[name]}\0`);
  async function* digested(): AsyncGenerator<Uint8Array> {
    for await (const chunk of body) {
      digest.update(chunk);
      yield chunk;
    }
  }
  const bodies = readParts(digested(), boundaryOf(values), maxParts + smallParts, "semrs-2017");
  const encEmr = await buffered(bodies, cbcLength(maxWholeBytes));
  const encDist = await buffered(bodies, maxSmallBytes);
  const encSign = await buffered(bodies, maxSmallBytes);
  const encKey = await buffered(bodies, maxSmallBytes);
  const encDicom: Aside[] = [];
  for await (const part of bodies) encDicom.push(await putAside(part, spool));
  return { sealed, encEmr, encDist, encSign, encKey, encDicom, envelopeSha256: digest.digest("hex") };
}

async function putAside(part: AsyncIterable<Uint8Array>, spool: Spool): Promise<Aside> {
  const limit = cbcLength(maxPartBytes);
  let length = 0;
  let end: Uint8Array = new Uint8Array();
  async function* measured(): AsyncGenerator<Uint8Array> {
    for await (const chunk of part) {
      length += chunk.length;
      if (length > limit) throw new Fault("TOO_LARGE", `an instance is over ${maxPartBytes} octets`);
      end = Buffer.concat([end, chunk.subarray(-endBytes)]).subarray(-endBytes);
      yield chunk;
    }
  }
  const { read } = await spool.write(measured());
  return { read, length, end };
}
