/** Two hospitals that speak semrs-2017, what one sends the other, and a store of spent keys, for the tests of that profile. */
import {
  type Draft2017,
  type Instance,
  type KeyTransport,
  type LegacyPartner,
  type LegacySigner,
  type LegacyUnwrapper,
  legacySignerFrom,
  legacyUnwrapperFrom,
  type Opened2017,
  type Opening2017,
  open2017,
  type RawHeaders,
  type Reservation,
  type Sealed2017,
  type Spool,
} from "../../envelope/index.ts";
import type { Issuer } from "../../envelope/issue.ts";
import { ca, issue, now, trust } from "./parties.ts";
import { cda, collect, inPieces, octets } from "./samples.ts";

export type LegacyParty = {
  readonly org: string;
  readonly signer: LegacySigner;
  readonly unwrapper: LegacyUnwrapper;
  readonly pem: Readonly<Record<"signKey" | "signCertificate" | "decryptKey" | "decryptCertificate", string>>;
};

export function legacyParty(org: string, issuer: Issuer = ca): LegacyParty {
  const signing = issue(org, "sign", issuer, "rsa");
  const decrypting = issue(org, "decrypt", issuer, "rsa");
  return {
    org,
    signer: legacySignerFrom(signing.key, signing.certificate),
    unwrapper: legacyUnwrapperFrom(decrypting.key, decrypting.certificate),
    pem: {
      signKey: signing.key,
      signCertificate: signing.certificate,
      decryptKey: decrypting.key,
      decryptCertificate: decrypting.certificate,
    },
  };
}

export const hospitalA = legacyParty("hospital-a");
export const hospitalB = legacyParty("hospital-b");
export const transports: readonly KeyTransport[] = ["rsa-pkcs1", "rsa-oaep", "rsa-oaep-java"];

export const instanceOf = (bytes: Uint8Array, step?: number): Instance => ({
  size: bytes.length,
  clear: () => inPieces(bytes, step),
});

/** What hospital A sends hospital B: the document and instances of these sizes. */
export const draft2017 = (sizes: readonly number[], changes: Partial<Draft2017> = {}): Draft2017 => ({
  sender: hospitalA.org,
  to: { org: hospitalB.org, certificate: hospitalB.unwrapper.certificate, transport: "rsa-oaep" },
  messageType: "116",
  document: cda,
  instances: sizes.map((size, index) => instanceOf(octets(size, index + 2))),
  ...changes,
});

/** The same draft with the one-time key wrapped in this way. */
export const by = (transport: KeyTransport): Pick<Draft2017, "to"> => ({
  to: { org: hospitalB.org, certificate: hospitalB.unwrapper.certificate, transport },
});

export const peerA: LegacyPartner = {
  org: hospitalA.org,
  profiles: ["semrs-2017"],
  signing: [hospitalA.signer.certificate],
  chain: [],
  transport: "rsa-oaep",
};

/** Memory is encrypted enough for a test. */
export const memorySpool = (): Spool & { readonly written: Uint8Array[] } => {
  const written: Uint8Array[] = [];
  return {
    written,
    write: async (cipher) => {
      const bytes = await collect(cipher);
      written.push(bytes);
      return { read: () => inPieces(bytes, 1000) };
    },
  };
};

/** One attempt a key; the answer to an envelope is what `answered` was last told. */
export function keyBook() {
  const spent = new Map<string, { readonly envelope: string; answer?: string }>();
  return {
    attempts: [] as string[],
    async reserve(key: string, envelope: string): Promise<Reservation<string>> {
      this.attempts.push(key);
      const known = spent.get(key);
      if (!known) spent.set(key, { envelope });
      if (!known) return "fresh";
      return known.envelope === envelope && known.answer !== undefined ? { stored: known.answer } : "spent";
    },
    answered(key: string, answer: string): void {
      const known = spent.get(key);
      if (known) known.answer = answer;
    },
  };
}

/** How hospital B opens what hospital A sends; `changes` for what a test needs otherwise. */
export const opening2017 = (changes: Partial<Opening2017<string>> = {}): Opening2017<string> => ({
  self: hospitalB.org,
  unwrapper: hospitalB.unwrapper,
  trust,
  now,
  peer: peerA,
  spool: memorySpool(),
  reserve: async () => "fresh",
  ...changes,
});

export const from = (transport: KeyTransport): Pick<Opening2017<string>, "peer"> => ({ peer: { ...peerA, transport } });

/** Opens for the first time. */
export async function opened2017(
  headers: RawHeaders,
  body: AsyncIterable<Uint8Array>,
  changes: Partial<Opening2017<string>> = {},
): Promise<Opened2017> {
  const outcome = await open2017(headers, body, opening2017(changes));
  if (outcome.outcome !== "opened") throw new Error("repeated");
  return outcome;
}

export const bodyOf2017 = (envelope: Sealed2017): Promise<Buffer> => collect(envelope.body());

/** Clear text of the document and of all instances. */
export const clear2017 = async ({ document, instances }: Opened2017): Promise<readonly Uint8Array[]> => [
  document,
  ...(await Promise.all(instances.map(({ clear }) => collect(clear())))),
];
