/** A syslog server over TLS (RFC 5425): keeps the messages that came, by their frames. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createServer, type TLSSocket } from "node:tls";

export type SyslogListener = { readonly port: number; readonly messages: readonly string[]; stop(): Promise<void> };

/** With the TLS keys of an organisation of a PKI of ours; callers must show a certificate of it. */
export async function listenSyslog(pki: string, org: string, port = 0): Promise<SyslogListener> {
  const messages: string[] = [];
  const sockets = new Set<TLSSocket>();
  const read = (name: string) => readFileSync(join(pki, name), "utf8");
  const options = { key: read(`${org}/tls.key`), cert: read(`${org}/tls.crt`), ca: read("ca.crt") };
  const server = createServer({ ...options, requestCert: true, rejectUnauthorized: true }, (socket) => {
    sockets.add(socket);
    let rest = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      for (let found = frameIn(rest); found; found = frameIn(rest)) {
        messages.push(found.message);
        rest = rest.subarray(found.end);
      }
    });
    socket.on("error", () => undefined).on("close", () => sockets.delete(socket));
  });
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    messages,
    stop: async () => {
      const closed = once(server, "close");
      server.close();
      for (const socket of sockets) socket.destroy();
      await closed;
    },
  };
}

/** MSG-LEN SP SYSLOG-MSG. */
function frameIn(bytes: Buffer): { readonly message: string; readonly end: number } | undefined {
  const [head, length] = /^([1-9]\d{0,7}) /.exec(bytes.subarray(0, 9).toString("latin1")) ?? [];
  if (head === undefined) return undefined;
  const end = head.length + Number(length);
  return bytes.length < end ? undefined : { message: bytes.subarray(head.length, end).toString("utf8"), end };
}
