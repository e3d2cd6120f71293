/** Who may call: titles, address ranges and certificate subjects, and how the others are rejected (PS3.8 Table 9-21). */
import { BlockList, type Socket } from "node:net";
import type { PeerCertificate, TLSSocket } from "node:tls";
import { Fault, orFault } from "../../errors.ts";
import { applicationContext, type Request } from "./association.ts";

export type Caller = {
  readonly aeTitle?: string | undefined;
  readonly address?: string | undefined;
  readonly subject?: string | undefined;
  readonly commitmentTo?: { readonly host: string; readonly port: number } | undefined;
};
/** What is known of who calls. */
export type Calling = { readonly aeTitle: string; readonly address: string; readonly names: readonly string[] };
/** The rule that lets a caller in; undefined: it may not call. */
export type Admit = (calling: Calling) => Caller | undefined;

/** Compiles `callers`; an empty list lets anybody in. CONFIG_INVALID for an address that is none. */
export function openAccess(callers: readonly Caller[]): Admit {
  const rules = callers.map((caller) => ({ caller, range: caller.address && rangeOf(caller.address) }));
  return ({ aeTitle, address, names }) => {
    if (rules.length === 0) return {};
    const plain = address.replace(/^::ffff:(?=\d+\.)/i, "").replace(/%.*$/, "");
    const family = plain.includes(":") ? "ipv6" : "ipv4";
    return rules.find(
      ({ caller, range }) =>
        (caller.aeTitle ?? aeTitle) === aeTitle &&
        (!range || range.check(plain, family)) &&
        (caller.subject === undefined || names.includes(caller.subject)),
    )?.caller;
  };
}

/** Whether an address of `callers` is one, or a range. */
export const isRange = (address: string): boolean => !(orFault(() => rangeOf(address)) instanceof Fault);

function rangeOf(address: string): BlockList {
  const list = new BlockList();
  const [net = "", bits] = address.split("/");
  const family = net.includes(":") ? "ipv6" : "ipv4";
  try {
    if (bits === undefined) list.addAddress(net, family);
    else list.addSubnet(net, /^\d{1,3}$/.test(bits) ? Number(bits) : Number.NaN, family);
  } catch (cause) {
    throw new Fault("CONFIG_INVALID", `callers: ${address} is no IP address or CIDR range`, { cause });
  }
  return list;
}

/** Common names and alternative names (DNS, IP, URI, mail) of the client certificate; none where the wire is clear. */
export function namesOf(socket: Socket): readonly string[] {
  const tls = socket as Partial<TLSSocket>;
  if (!tls.getPeerCertificate || !tls.authorized) return [];
  const { subject, subjectaltname } = tls.getPeerCertificate() as Partial<PeerCertificate>;
  const common: string | readonly string[] = subject?.CN ?? [];
  // A name with a comma or a quote is quoted by Node and is not split: it matches no rule.
  const others = (subjectaltname ?? "").split(", ").map((name) => name.replace(/^(DNS|IP Address|URI|email):/, ""));
  return [...(typeof common === "string" ? [common] : common), ...others].filter((name) => name !== "");
}

/** Result, source and reason of an A-ASSOCIATE-RJ. */
export type Rejection = {
  readonly result: 1 | 2;
  readonly source: 1 | 2 | 3;
  readonly reason: number;
  readonly why: string;
};

/** What the service provider rejects by itself (sources 2 and 3). */
export function providerRejection(request: Request, isFull: boolean): Rejection | undefined {
  if (isFull)
    return {
      result: 2,
      source: 3,
      reason: 2,
      why: "as many associations are open as maxAssociations, or limits.connections, allow",
    };
  if ((request.protocolVersion & 1) === 0)
    return { result: 1, source: 2, reason: 2, why: "it speaks another version of the upper layer than 1" };
  return undefined;
}

/** What the service user rejects (source 1). */
export function userRejection(request: Request, aeTitle: string, isWelcome: boolean): Rejection | undefined {
  const { applicationContext: context, calledAeTitle } = request;
  if (context !== applicationContext)
    return { result: 1, source: 1, reason: 2, why: "its application context is not DICOM's" };
  if (calledAeTitle !== aeTitle)
    return {
      result: 1,
      source: 1,
      reason: 7,
      why: `it calls ${calledAeTitle} and we are ${aeTitle}; correct the called AE title there, or aeTitle here`,
    };
  if (!isWelcome)
    return {
      result: 1,
      source: 1,
      reason: 3,
      why: "its AE title, address and certificate fit no line of callers; add one if it may call",
    };
  return undefined;
}
