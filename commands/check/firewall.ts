/** What a firewall has to let through for a site: in and out, port, protocol, TLS. */
import { isAddress } from "../../exchange/revocation.ts";
import type { Config } from "../../pipeline/config.ts";

export type Door = {
  readonly site: string;
  readonly direction: "in" | "out";
  readonly address: string;
  readonly protocol: "mllp" | "dicom" | "https" | "http" | "syslog";
  readonly security: string;
  readonly who: string;
};

type Wire = { readonly tls?: { clientCertificate: string } | undefined; readonly clearText?: string | undefined };
type At = { readonly host: string; readonly port: number };

export function doorsOf({ site, own, partners, trust }: Config): readonly Door[] {
  const others = Object.keys(partners).filter((name) => name !== site);
  const rest = own.repository ?? own.registry;
  const door = (direction: Door["direction"], to: At, protocol: Door["protocol"], how: string, who: string): Door => {
    return { site, direction, address: `${to.host}:${to.port}`, protocol, security: how, who };
  };
  const fetched = (url: string, how: string, who: string): Door => {
    const { protocol, hostname: host, port } = new URL(url);
    const isClear = protocol === "http:";
    return door("out", { host, port: Number(port) || (isClear ? 80 : 443) }, isClear ? "http" : "https", how, who);
  };
  return distinct([
    ...Object.entries(own.systems).flatMap(([name, { mllp, dicom }]) => {
      const wires = [
        ["mllp", mllp, [mllp?.connect, ...(mllp?.standby ?? [])]],
        ["dicom", dicom, [dicom?.connect, ...(dicom?.callers ?? []).map(({ commitmentTo }) => commitmentTo)]],
      ] as const;
      return [
        ...wires.flatMap(([protocol, wire, out]) => [
          ...(wire?.listen ? [door("in", wire.listen, protocol, security(wire, wire.listen), name)] : []),
          ...out.flatMap((to) => (wire && to ? [door("out", to, protocol, security(wire, to), name)] : [])),
        ]),
        ...(mllp?.references ?? []).map(({ prefix, clearText }) =>
          fetched(
            prefix,
            prefix.startsWith("https:") ? "mutual TLS" : clear(clearText, new URL(prefix).hostname),
            `documents of ${name}`,
          ),
        ),
      ];
    }),
    ...(rest ? [door("in", rest, "https", "mutual TLS", others.join(", "))] : []),
    ...others.map((name) => fetched(partners[name]?.url ?? "", "mutual TLS", name)),
    ...trust.crls.filter(isAddress).map((url) => fetched(url, "signed", "revocation list")),
    ...(own.alerts?.syslog ?? []).map(({ to }) => door("out", to, "syslog", "mutual TLS", "alerts")),
    ...(own.alerts?.webhooks ?? []).map(({ url }) => fetched(url, "TLS", "alerts")),
    door("in", own.admin, "http", "loopback, token", "admin"),
  ]);
}

/** What leads to one place twice is one door. */
const distinct = (doors: readonly Door[]): readonly Door[] => [
  ...new Map(doors.map((door) => [JSON.stringify(door), door])).values(),
];

function security({ tls, clearText }: Wire, { host }: At): string {
  if (tls) return tls.clientCertificate === "require" ? "mutual TLS" : "TLS";
  return clear(clearText, host);
}

function clear(reason: string | undefined, host: string): string {
  if (reason) return `CLEAR "${reason}"`;
  return host.startsWith("127.") || host === "localhost" || host.includes("::1") ? "clear, loopback" : "CLEAR";
}

/** Rows of a table. */
export const doorLines = (doors: readonly Door[]): readonly (readonly string[])[] => [
  ["site", "", "address", "protocol", "security", "who"],
  ...doors.map(({ site, direction, address, protocol, security: how, who }) => [
    site,
    direction,
    address,
    protocol,
    how,
    who,
  ]),
];
