/** Every object identifier and algorithm of the envelope, in one place. */

export const oids = {
  data: "1.2.840.113549.1.7.1",
  signedData: "1.2.840.113549.1.7.2",
  envelopedData: "1.2.840.113549.1.7.3",
  authEnvelopedData: "1.2.840.113549.1.9.16.1.23",
  contentType: "1.2.840.113549.1.9.3",
  messageDigest: "1.2.840.113549.1.9.4",
  signingTime: "1.2.840.113549.1.9.5",
  cmsAlgorithmProtection: "1.2.840.113549.1.9.52",
  signingCertificateV2: "1.2.840.113549.1.9.16.2.47",
  sha256: "2.16.840.1.101.3.4.2.1",
  sha384: "2.16.840.1.101.3.4.2.2",
  sha512: "2.16.840.1.101.3.4.2.3",
  rsaEncryption: "1.2.840.113549.1.1.1",
  rsaesOaep: "1.2.840.113549.1.1.7",
  mgf1: "1.2.840.113549.1.1.8",
  rsassaPss: "1.2.840.113549.1.1.10",
  sha256WithRsa: "1.2.840.113549.1.1.11",
  sha384WithRsa: "1.2.840.113549.1.1.12",
  sha512WithRsa: "1.2.840.113549.1.1.13",
  sha1WithRsa: "1.2.840.113549.1.1.5",
  ecPublicKey: "1.2.840.10045.2.1",
  prime256v1: "1.2.840.10045.3.1.7",
  ecdsaWithSha256: "1.2.840.10045.4.3.2",
  ecdsaWithSha384: "1.2.840.10045.4.3.3",
  ecdsaWithSha512: "1.2.840.10045.4.3.4",
  ed25519: "1.3.101.112",
  aes256Wrap: "2.16.840.1.101.3.4.1.45",
  aes256Gcm: "2.16.840.1.101.3.4.1.46",
  dhStdSha256Kdf: "1.3.132.1.11.1",
  commonName: "2.5.4.3",
  organization: "2.5.4.10",
  subjectKeyIdentifier: "2.5.29.14",
  keyUsage: "2.5.29.15",
  subjectAltName: "2.5.29.17",
  basicConstraints: "2.5.29.19",
  crlNumber: "2.5.29.20",
  issuingDistributionPoint: "2.5.29.28",
  deltaCrlIndicator: "2.5.29.27",
  nameConstraints: "2.5.29.30",
  crlDistributionPoints: "2.5.29.31",
  certificatePolicies: "2.5.29.32",
  policyMappings: "2.5.29.33",
  authorityKeyIdentifier: "2.5.29.35",
  policyConstraints: "2.5.29.36",
  extendedKeyUsage: "2.5.29.37",
  freshestCrl: "2.5.29.46",
  certificateIssuer: "2.5.29.29",
  reasonCode: "2.5.29.21",
  emailAddress: "1.2.840.113549.1.9.1",
  inhibitAnyPolicy: "2.5.29.54",
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
} as const;

/** RFC 5652 content types of our own: what a signature is over. */
export const manifestContentType = "2.25.96336484010172277342143383645198142346";
export const receiptContentType = "2.25.95693706148271057819259906025020423311";
export const directoryContentType = "2.25.218162349746324154088541025206332616301";
export const checkpointContentType = "2.25.170918403178919881259516078109722346814";

/** Signature algorithms of a semrs-2 signer, with the digest that goes with each. */
export const signatureAlgorithms = {
  "ecdsa-p256-sha256": { digest: "sha256" },
  "rsa-pss-sha256": { digest: "sha256" },
  ed25519: { digest: "sha512" },
} as const;
export type SignatureAlgorithm = keyof typeof signatureAlgorithms;

/** What a CA may sign with. SHA-1, MD5 and DSA are refused whatever the certificate says. */
export const certificateSignatures: Readonly<Record<string, { readonly hash: string | null; readonly key: string }>> = {
  [oids.sha256WithRsa]: { hash: "sha256", key: "rsa" },
  [oids.sha384WithRsa]: { hash: "sha384", key: "rsa" },
  [oids.sha512WithRsa]: { hash: "sha512", key: "rsa" },
  [oids.ecdsaWithSha256]: { hash: "sha256", key: "ec" },
  [oids.ecdsaWithSha384]: { hash: "sha384", key: "ec" },
  [oids.ecdsaWithSha512]: { hash: "sha512", key: "ec" },
  [oids.ed25519]: { hash: null, key: "ed25519" },
};

const rsaBits = { min: 2048, max: 8192 } as const;
export const isRsaSize = (bits = 0): boolean => bits >= rsaBits.min && bits <= rsaBits.max;
