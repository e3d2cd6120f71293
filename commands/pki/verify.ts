/** `semrs pki verify`: whether certificates lead to a trusted authority, now or at another time, and why not. */
import { readFileSync } from "node:fs";
import { pemToDer, readCertificate } from "../../envelope/certificate.ts";
import { type Trust, validatePath } from "../../envelope/index.ts";
import { Fault, reasonOf } from "../../errors.ts";

export type Verdict = {
  readonly file: string;
  readonly subject: string;
  readonly valid: boolean;
  readonly reason: string;
};

/** One verdict a file: its first certificate, the others help to build the path. */
export const verdictsOf = (files: readonly string[], trust: Trust, at: Date): readonly Verdict[] =>
  files.map((file) => {
    const [leaf, ...others] = pemToDer(readFileSync(file, "utf8"));
    if (!leaf) throw new Fault("CONFIG_INVALID", `${file} holds no certificate`);
    const subject = readCertificate(leaf).subjectText;
    try {
      validatePath(leaf, others, trust, at);
      return { file, subject, valid: true, reason: "" };
    } catch (thrown) {
      return { file, subject, valid: false, reason: reasonOf(thrown) };
    }
  });
