/** How a listener is named on the command line, and the TLS it speaks. */
import { readFileSync } from "node:fs";
import { type Command, InvalidArgumentError } from "commander";
import type { Tls } from "../../connectors/wire.ts";
import { Fault } from "../../errors.ts";

export type Peer = { readonly host: string; readonly port: number; readonly calledAeTitle?: string };

export type TlsFlags = {
  readonly tls?: boolean;
  readonly tlsKey?: string;
  readonly tlsCertificate?: string;
  readonly tlsCa?: string;
  readonly tlsName?: string;
};

export function hostPort(value: string): Peer {
  const [, host = "", port = ""] = /^(.+):(\d{1,5})$/.exec(value) ?? [];
  if (!host || Number(port) > 65_535) throw new InvalidArgumentError("write host:port, for example 127.0.0.1:2575");
  return { host: host.replace(/^\[(.*)\]$/, "$1"), port: Number(port) };
}

export function aetHostPort(value: string): Peer & { readonly calledAeTitle: string } {
  const at = value.indexOf("@");
  if (at < 1) throw new InvalidArgumentError("write AET@host:port, for example SEMRS_A@127.0.0.1:11112");
  return { calledAeTitle: value.slice(0, at), ...hostPort(value.slice(at + 1)) };
}

export function positive(value: string): number {
  const count = /^\d+(\.\d+)?$/.test(value) ? Number(value) : 0;
  if (count === 0) throw new InvalidArgumentError("write a number over 0");
  return count;
}

export const tlsFlags = (command: Command): Command =>
  command
    .option("--tls", "speak TLS")
    .option("--tls-key <file>", "our private key, PEM")
    .option("--tls-certificate <file>", "our certificate, PEM")
    .option("--tls-ca <file>", "authority of the listener's certificate, PEM")
    .option("--tls-name <name>", "name in the listener's certificate, where it is not its host");

/** The connector's TLS block; undefined where the wire is clear. */
export function tlsOf({ tls, tlsKey, tlsCertificate, tlsCa, tlsName }: TlsFlags): Tls {
  if (!tls && !tlsKey && !tlsCertificate && !tlsCa) return undefined;
  if (!tlsKey || !tlsCertificate || !tlsCa)
    throw new Fault("QUERY_INVALID", "TLS needs --tls-key, --tls-certificate and --tls-ca");
  const text = (file: string): string => {
    try {
      return readFileSync(file, "utf8");
    } catch (cause) {
      throw new Fault("CONFIG_INVALID", `${file} cannot be read`, { cause });
    }
  };
  const name = tlsName ? { serverName: tlsName } : {};
  return {
    key: text(tlsKey),
    certificate: text(tlsCertificate),
    ca: text(tlsCa),
    clientCertificate: "require",
    ...name,
  };
}
