/** How a listener is named on the command line, and the TLS it speaks. */
import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import { type Command, InvalidArgumentError } from "commander";
import type { Context } from "../../connectors/connector.ts";
import { maxSeconds, type Tls } from "../../connectors/wire.ts";
import { Fault } from "../../errors.ts";
import { aeTitle } from "../../pipeline/config-values.ts";

export type Peer = { readonly host: string; readonly port: number; readonly calledAeTitle?: string };

/** How a connector runs for a verb, which tells by itself what came of it. */
export const quiet: Context = { log: () => undefined, signal: new AbortController().signal };

export type TlsFlags = {
  readonly tls?: boolean;
  readonly tlsKey?: string;
  readonly tlsCertificate?: string;
  readonly tlsCa?: string;
  readonly tlsName?: string;
};

export function hostPort(value: string): Peer {
  const [, host = "", port = ""] = /^(.+):(\d{1,5})$/.exec(value) ?? [];
  if (!host || Number(port) < 1 || Number(port) > 65_535)
    throw new InvalidArgumentError("write host:port, for example 127.0.0.1:2575");
  return { host: host.replace(/^\[(.*)\]$/, "$1"), port: Number(port) };
}

export function aetHostPort(value: string): Peer & { readonly calledAeTitle: string } {
  const at = value.indexOf("@");
  if (at < 1) throw new InvalidArgumentError("write AET@host:port, for example SEMRS_A@127.0.0.1:11112");
  return { calledAeTitle: titled(value.slice(0, at)), ...hostPort(value.slice(at + 1)) };
}

export function titled(value: string): string {
  const { error } = aeTitle.safeParse(value);
  if (error) throw new InvalidArgumentError(error.issues.map(({ message }) => message).join("; "));
  return value;
}

export function seconds(value: string): number {
  if (positive(value) > maxSeconds) throw new InvalidArgumentError(`write seconds, ${maxSeconds} at most`);
  return Number(value);
}

export function whole(value: string): number {
  if (!/^[1-9]\d{0,5}$/.test(value)) throw new InvalidArgumentError("write a whole number over 0");
  return Number(value);
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
  const files = { key: text(tlsKey), certificate: text(tlsCertificate), ca: text(tlsCa) };
  try {
    createSecureContext({ key: files.key, cert: files.certificate, ca: files.ca });
  } catch (cause) {
    const what = `${tlsKey}, ${tlsCertificate} and ${tlsCa} are no key, its certificate and an authority, in PEM`;
    throw new Fault("QUERY_INVALID", what, { cause });
  }
  return { ...files, clientCertificate: "require", ...(tlsName ? { serverName: tlsName } : {}) };
}
