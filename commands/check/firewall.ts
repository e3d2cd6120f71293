/** What a firewall has to let through for a site: in and out, port, protocol, TLS. */
import type { Config } from "../../pipeline/config.ts";

export type Door = {
  readonly site: string;
  readonly direction: "in" | "out";
  readonly address: string;
  readonly protocol: "mllp" | "dicom" | "https" | "http";
  readonly security: string;
  readonly who: string;
};

type Wire = { readonly tls?: { clientCertificate: string } | undefined; readonly clearText?: string | undefined };
type At = { readonly host: string; readonly port: number };

export function doorsOf({ site, own, partners }: Config): readonly Door[] {
  const others = Object.keys(partners).filter((name) => name !== site);
  const rest = own.repository ?? own.registry;
  const text = ({ host, port }: At): string => `${host}:${port}`;
  const systems = Object.entries(own.systems).flatMap(([name, { mllp, dicom }]) =>
    (["mllp", "dicom"] as const).flatMap((protocol) => {
      const wire = protocol === "mllp" ? mllp : dicom;
      return [
        ...(wire?.listen
          ? [
              {
                site,
                direction: "in",
                address: text(wire.listen),
                protocol,
                security: security(wire, wire.listen),
                who: name,
              } as const,
            ]
          : []),
        ...(wire?.connect
          ? [
              {
                site,
                direction: "out",
                address: text(wire.connect),
                protocol,
                security: security(wire, wire.connect),
                who: name,
              } as const,
            ]
          : []),
      ];
    }),
  );
  return [
    ...systems,
    ...(rest
      ? [
          {
            site,
            direction: "in",
            address: text(rest),
            protocol: "https",
            security: "mutual TLS",
            who: others.join(", "),
          } as const,
        ]
      : []),
    ...others.map((name): Door => {
      const address = partners[name]?.url.replace("https://", "") ?? "";
      return { site, direction: "out", address, protocol: "https", security: "mutual TLS", who: name };
    }),
    { site, direction: "in", address: text(own.admin), protocol: "http", security: "loopback, token", who: "admin" },
  ];
}

function security({ tls, clearText }: Wire, { host }: At): string {
  if (tls) return tls.clientCertificate === "require" ? "mutual TLS" : "TLS";
  if (clearText) return `CLEAR "${clearText}"`;
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
