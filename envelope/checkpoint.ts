/** Checkpoints of an audit log: a site signs where it stands, so that nobody without its key writes another log in its place. */
import { z } from "zod";
import { Fault } from "../errors.ts";
import { checkpointContentType } from "./algorithms.ts";
import { readStrictJson } from "./json.ts";
import type { Signer } from "./keys.ts";
import { signAttached, verifySignedData } from "./signed-data.ts";

const maxCheckpointBytes = 64 * 1024;

const schema = z.strictObject({
  org: z.string().min(1).max(256),
  seq: z.int().min(0),
  /** Of the chain at entry `seq`. */
  head: z.string().regex(/^[0-9a-f]{64}$/),
  at: z.string().regex(/^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/),
});
export type Checkpoint = z.output<typeof schema>;

/** Attached SignedData over the checkpoint's JSON. */
export const signCheckpoint = (checkpoint: Checkpoint, signer: Signer, at: Date): Promise<Uint8Array> =>
  signAttached(Buffer.from(JSON.stringify(schema.parse(checkpoint))), checkpointContentType, signer, at);

/** What it says, and the certificate (DER) that signed it: whose that is, is still to be asked. ENVELOPE_NOT_OPENED says why not. */
export function readCheckpoint(bytes: Uint8Array) {
  if (bytes.length > maxCheckpointBytes)
    throw new Fault("ENVELOPE_NOT_OPENED", `checkpoint: over ${maxCheckpointBytes} octets`);
  const { content, ...signed } = verifySignedData(bytes, checkpointContentType);
  const parsed = schema.safeParse(readStrictJson(content, "checkpoint"));
  if (!parsed.success) throw new Fault("ENVELOPE_NOT_OPENED", "checkpoint: not valid");
  return { checkpoint: parsed.data, ...signed };
}
