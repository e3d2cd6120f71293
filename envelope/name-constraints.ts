/** Name constraints (RFC 5280 4.2.1.10, 6.1.3 (b) and (c)): every name of a certificate within what is permitted, none in what is not. */
import { oids } from "./algorithms.ts";
import type { Certificate } from "./certificate.ts";
import type { NameConstraints } from "./certificate-extensions.ts";
import { children, oidOf, read } from "./cms/der.ts";
import { directoryName, type GeneralName, general } from "./names.ts";

/** What is wrong with the names of this certificate below these constraints; undefined when nothing is. */
export function brokenConstraint(
  certificate: Certificate,
  constraints: readonly NameConstraints[],
): string | undefined {
  if (constraints.length === 0) return undefined;
  for (const name of namesOf(certificate)) {
    for (const { permitted, excluded } of constraints) {
      const within = permitted.filter(({ kind }) => kind === name.kind);
      if (within.length > 0 && !within.some((subtree) => lies(name, subtree, true)))
        return "a name outside the permitted subtrees";
      if (excluded.some((subtree) => subtree.kind === name.kind && lies(name, subtree, false)))
        return "a name in an excluded subtree";
    }
  }
  return undefined;
}

/** Subject, alternative names, and addresses in the subject, which older certificates have there (RFC 5280 4.2.1.10). */
function namesOf({ subject, subjectRdns, altNames }: Certificate): readonly GeneralName[] {
  const own = subjectRdns.length > 0 ? [directoryName(subjectRdns)] : [];
  const addresses = children(read(subject)).flatMap((set) =>
    children(set).flatMap((attribute): readonly GeneralName[] => {
      const [type, value] = children(attribute);
      if (!type || !value || oidOf(type) !== oids.emailAddress) return [];
      return [{ kind: general.rfc822, content: value.content, rdns: [], key: "" }];
    }),
  );
  return [...own, ...addresses, ...altNames];
}

/** Each kind's own rule. What has no rule here lies in no permitted subtree and in every excluded one. */
const rules: Readonly<Record<number, (name: GeneralName, subtree: GeneralName, isPermitted: boolean) => boolean>> = {
  [general.directory]: ({ rdns }, subtree) => subtree.rdns.every((rdn, index) => rdns[index] === rdn),
  [general.rfc822]: (name, subtree) => mailbox(ascii(name), ascii(subtree)),
  [general.dns]: (name, subtree) => isBelow(ascii(name).toLowerCase(), ascii(subtree).toLowerCase()),
  [general.uri]: (name, subtree, isPermitted) => {
    const host = hostOf(ascii(name));
    // A URI without a host name can't be shown to lie within (RFC 5280 4.2.1.10).
    return host === undefined ? !isPermitted : isHost(host, ascii(subtree).toLowerCase());
  },
  [general.ip]: ({ content }, { content: range }) => {
    const size = content.length;
    return (
      range.length === 2 * size &&
      content.every((octet, i) => ((octet ^ (range[i] ?? 0)) & (range[size + i] ?? 0)) === 0)
    );
  },
};

const lies = (name: GeneralName, subtree: GeneralName, isPermitted: boolean): boolean =>
  rules[name.kind]?.(name, subtree, isPermitted) ?? !isPermitted;

const ascii = ({ content }: GeneralName): string => Buffer.from(content).toString("latin1");

/** `user@host`, `host`, or `.domain`; what stands before the @ has case (RFC 5321 2.4). */
function mailbox(address: string, subtree: string): boolean {
  const at = address.lastIndexOf("@");
  const host = address.slice(at + 1).toLowerCase();
  const mark = subtree.lastIndexOf("@");
  if (mark < 0) return isHost(host, subtree.toLowerCase());
  return address.slice(0, at) === subtree.slice(0, mark) && host === subtree.slice(mark + 1).toLowerCase();
}

/** A leading dot asks for a name below; without it the host itself. */
const isHost = (host: string, subtree: string): boolean =>
  subtree.startsWith(".") ? host.endsWith(subtree) : host === subtree;

const isBelow = (name: string, subtree: string): boolean =>
  subtree === "" || name === subtree || name.endsWith(subtree.startsWith(".") ? subtree : `.${subtree}`);

function hostOf(uri: string): string | undefined {
  const [, host = ""] = /^[A-Za-z][A-Za-z0-9+.-]*:\/\/(?:[^/?#@]*@)?([^/?#:[\]]+)(?::\d*)?(?:[/?#]|$)/.exec(uri) ?? [];
  return host === "" || /^[\d.]+$/.test(host) ? undefined : host.toLowerCase();
}
