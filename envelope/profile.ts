/**
 * Which profile an envelope is, from its clear headers and nothing else. The rules exclude each other: one is found or none,
 * and after a failure no other is tried, or an attacker would choose the weakest.
 */
import { Fault } from "../errors.ts";
import { headerNames } from "./manifest.ts";
import { type HeaderValues, type RawHeaders, valuesOf } from "./raw-headers.ts";

export type Profile = "semrs-2" | "semrs-2017" | "smime-4";

const rules: Readonly<Record<Profile, (headers: HeaderValues) => boolean>> = {
  "semrs-2": (headers) =>
    equal(headers.get("x-semrs-profile"), ["semrs-2"]) && !typesOf(headers).some(({ type }) => type === pkcs7),
  "semrs-2017": (headers) => {
    const [content, ...more] = typesOf(headers);
    const names = [...headers.keys()];
    return (
      content?.type === "multipart/mixed" &&
      more.length === 0 &&
      !names.some((name) => name.startsWith("x-semrs-")) &&
      names.filter((name) => name.startsWith("x-eec-")).length === headerNames.length &&
      headerNames.every((name) => headers.get(name.toLowerCase())?.length === 1)
    );
  },
  "smime-4": (headers) => {
    const [content, ...more] = typesOf(headers);
    return (
      content?.type === pkcs7 &&
      more.length === 0 &&
      !headers.has("x-semrs-profile") &&
      equal(content.smimeTypes, ["authenveloped-data"])
    );
  },
};

/** The one profile whose rule these headers meet; ENVELOPE_UNSUPPORTED for none, ENVELOPE_MALFORMED for headers beyond the limits. */
export function profileOf(headers: RawHeaders): Profile {
  const values = valuesOf(headers);
  const [found, ...others] = (Object.keys(rules) as Profile[]).filter((profile) => rules[profile](values));
  if (!found || others.length > 0) throw new Fault("ENVELOPE_UNSUPPORTED", "no envelope profile that is known here");
  return found;
}

const pkcs7 = "application/pkcs7-mime";

/** Media types and their smime-type parameters (RFC 8551 3.2.2), in lower case. */
const typesOf = (headers: HeaderValues): readonly { readonly type: string; readonly smimeTypes: readonly string[] }[] =>
  (headers.get("content-type") ?? []).map((value) => {
    const [type = "", ...parameters] = value.split(";").map((part) => part.trim().toLowerCase());
    const smimeTypes = parameters.flatMap((each) => /^smime-type="?([^"]*)"?$/.exec(each)?.[1] ?? []);
    return { type, smimeTypes };
  });

const equal = (values: readonly string[] | undefined, expected: readonly string[]): boolean =>
  values?.length === expected.length && values.every((value, index) => value === expected[index]);
