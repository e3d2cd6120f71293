/**
 * The signed headers of smime-4: the nine tags of the paper and what a manifest says in semrs-2, each exactly once, in the clear
 * inside the signature. The reader takes what any MIME tool writes, but not folded, and nothing of another profile.
 */
import { z } from "zod";
import { Fault } from "../errors.ts";
import {
  type HeaderName,
  headerNames,
  hex32,
  hex64,
  type Manifest,
  maxHeaderBytes,
  maxRecipients,
  purposes,
  text,
  utc,
} from "./manifest.ts";

/** Octets of all signed headers. */
export const maxHeadBytes = 64 * 1024;
const maxValueBytes = 8 * 1024;
/** What stands where nothing is answered: a header that is empty is lost by some tools. */
const none = "none";

const names = [
  ...headerNames,
  "X-SEMRS-Id",
  "X-SEMRS-Message",
  "X-SEMRS-Created",
  "X-SEMRS-Expires",
  "X-SEMRS-Purpose",
  "X-SEMRS-To",
  "X-SEMRS-In-Reply-To",
  "X-SEMRS-Request-Digest",
] as const;
type Name = (typeof names)[number];

/** What the signed headers say. */
export type SignedHead = Pick<
  Manifest,
  "id" | "message" | "created" | "expires" | "purpose" | "inReplyTo" | "requestDigest" | "headers"
> & {
  /** SHA-256 (hex) of each receiver's decrypt certificate, in the order of X-EEC-Receiver. */
  readonly to: readonly string[];
  /** X-EEC-Sender and the organisations of X-EEC-Receiver. */
  readonly sender: string;
  readonly receivers: readonly string[];
};

const refuse = (what: string): Fault => new Fault("ENVELOPE_NOT_OPENED", `signed headers: ${what}`);

const schema = z.strictObject({
  id: hex32,
  message: hex32,
  created: utc,
  expires: utc,
  purpose: z.enum(purposes),
  inReplyTo: hex32.nullable(),
  requestDigest: hex64.nullable(),
  to: z.array(hex64).min(1).max(maxRecipients),
  receivers: z.array(text).min(1).max(maxRecipients),
  sender: text,
  headers: z.record(z.enum(headerNames), z.string().min(1).max(maxHeaderBytes)),
});

/** The block of headers that is signed, with the blank line that ends it. */
export function writeHead(head: Omit<SignedHead, "sender" | "receivers">, boundary: string): Uint8Array {
  const values: Readonly<Record<Name, string>> = {
    ...head.headers,
    "X-SEMRS-Id": head.id,
    "X-SEMRS-Message": head.message,
    "X-SEMRS-Created": head.created,
    "X-SEMRS-Expires": head.expires,
    "X-SEMRS-Purpose": head.purpose,
    "X-SEMRS-To": head.to.join(","),
    "X-SEMRS-In-Reply-To": head.inReplyTo ?? none,
    "X-SEMRS-Request-Digest": head.requestDigest ?? none,
  };
  const lines = [
    "MIME-Version: 1.0",
    ...names.map((name) => `${name}: ${values[name]}`),
    `Content-Type: multipart/mixed; boundary="${boundary}"`,
    "Content-Transfer-Encoding: binary",
  ];
  return Buffer.from(`${lines.join("\r\n")}\r\n\r\n`, "utf8");
}

/** Reads the block without the blank line; ENVELOPE_NOT_OPENED names the first thing that does not hold. */
export function readHead(block: Buffer): { readonly head: SignedHead; readonly boundary: string } {
  const byName = collect(block);
  if (byName.has("x-semrs-profile")) throw refuse("an envelope of another profile inside smime-4");
  const own = new Set<string>(names.map((name) => name.toLowerCase()));
  for (const name of byName.keys())
    if (/^x-(eec|semrs)-/.test(name) && !own.has(name)) throw refuse("an X-EEC or X-SEMRS header that does not belong");
  const once = (name: Name): string => {
    const [value, ...more] = byName.get(name.toLowerCase()) ?? [];
    if (value === undefined || more.length > 0) throw refuse(`${name} must be there exactly once`);
    return value;
  };
  const optional = (name: Name): string | null => (once(name) === none ? null : once(name));
  const result = schema.safeParse({
    id: once("X-SEMRS-Id"),
    message: once("X-SEMRS-Message"),
    created: once("X-SEMRS-Created"),
    expires: once("X-SEMRS-Expires"),
    purpose: once("X-SEMRS-Purpose"),
    inReplyTo: optional("X-SEMRS-In-Reply-To"),
    requestDigest: optional("X-SEMRS-Request-Digest"),
    to: once("X-SEMRS-To").split(","),
    receivers: once("X-EEC-Receiver").split(","),
    sender: once("X-EEC-Sender"),
    headers: Object.fromEntries(headerNames.map((name): [HeaderName, string] => [name, once(name)])),
  });
  if (!result.success) throw refuse(`not valid at ${result.error.issues[0]?.path.join(".") || "their top"}`);
  if (result.data.to.length !== result.data.receivers.length)
    throw refuse("X-SEMRS-To and X-EEC-Receiver differ in number");
  return { head: result.data, boundary: boundaryOf(byName) };
}

/** Values by lower-case name; a line is printable US-ASCII, so nothing is folded and no line ends inside. */
function collect(block: Buffer): ReadonlyMap<string, readonly string[]> {
  const byName = new Map<string, string[]>();
  for (const line of block.toString("latin1").split("\r\n")) {
    const [, name, value] = /^([!-9;-~]+): ?([\x20-\x7e]*)$/.exec(line) ?? [];
    if (name === undefined || value === undefined) throw refuse("a line that is no header in US-ASCII, or is folded");
    if (value.length > maxValueBytes) throw refuse(`a value over ${maxValueBytes} octets`);
    const values = byName.get(name.toLowerCase()) ?? [];
    values.push(value);
    byName.set(name.toLowerCase(), values);
  }
  return byName;
}

/** multipart/mixed with one boundary parameter, not encoded as a whole (RFC 2045 6.4). */
function boundaryOf(byName: ReadonlyMap<string, readonly string[]>): string {
  const [type = "", ...types] = byName.get("content-type") ?? [];
  const [encoding = "binary", ...encodings] = byName.get("content-transfer-encoding") ?? [];
  const [, quoted, bare] =
    /^multipart\/mixed; ?boundary=(?:"([A-Za-z0-9'()+_,./:=? -]{0,69}[A-Za-z0-9'()+_,./:=?-])"|([A-Za-z0-9'+_.-]{1,70}))$/i.exec(
      type,
    ) ?? [];
  const boundary = quoted ?? bare;
  if (!boundary || types.length > 0) throw refuse("Content-Type must be multipart/mixed with one boundary");
  if (encodings.length > 0 || !/^(7bit|8bit|binary)$/i.test(encoding)) throw refuse("a multipart that is encoded");
  return boundary;
}
