/** Syslog over TLS to a server that is real: every message in its frame, and nothing to one that nobody trusts. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createServer, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sendSyslog } from "../../connectors/syslog.ts";
import { facilities, severities, syslogFrame, writeSyslog } from "../../formats/syslog.ts";
import { testPki, until } from "../sites.ts";
import { listenSyslog, type SyslogListener } from "../syslog-listener.ts";

let pki: string;
let listener: SyslogListener;
beforeAll(async () => {
  pki = await testPki();
  listener = await listenSyslog(pki, "registry");
});
afterAll(() => listener.stop());

const tlsOf = (org: string, ca = "ca.crt") => {
  const read = (name: string) => readFileSync(join(pki, name), "utf8");
  return { key: read(`${org}/tls.key`), certificate: read(`${org}/tls.crt`), ca: read(ca) };
};
const message = (text: string) =>
  writeSyslog({
    facility: facilities.security,
    severity: severities.notice,
    at: "2026-11-28T08:00:00.000Z",
    host: "hospital-a",
    app: "semrs",
    messageId: "DICOM+RFC3881",
    text,
  });
const signal = new AbortController().signal;

test("a message is as RFC 5424 6 has it, and its frame counts octets, not characters", () => {
  const bytes = message("陳");
  expect(bytes.toString()).toMatch(/^<85>1 2026-11-28T08:00:00\.000Z hospital-a semrs \d+ DICOM\+RFC3881 - \ufeff陳$/);
  expect(syslogFrame(bytes).toString()).toMatch(new RegExp(`^${bytes.length} <85>1 `));
  const odd = writeSyslog({ facility: 1, severity: 3, at: "x", host: "a b\n", app: "", messageId: "é", text: "" });
  expect(odd.toString()).toMatch(/^<11>1 x a\?b\? - \d+ \? - \ufeff$/);
});

test("every message arrives, whatever its size", async () => {
  const texts = ["one", "two\nlines", "陳".repeat(100_000), ...Array.from({ length: 500 }, (_, n) => `n${n}`)];
  await sendSyslog({ host: "127.0.0.1", port: listener.port, tls: tlsOf("hospital-a") }, texts.map(message), signal);
  await until("all of them", () => listener.messages.length >= texts.length);
  expect(listener.messages.map((each) => each.slice(each.indexOf("\ufeff") + 1))).toEqual(texts);
});

test("nothing is sent to a server that shows another authority's certificate, or that is not there", async () => {
  const other = { ...tlsOf("hospital-a"), ca: readFileSync(join(await testPki(), "ca.crt"), "utf8") };
  const before = listener.messages.length;
  const to = (port: number, tls: typeof other) => sendSyslog({ host: "127.0.0.1", port, tls }, [message("x")], signal);
  await expect(to(listener.port, other)).rejects.toMatchObject({ code: "CERTIFICATE_INVALID" });
  const { port, stop } = await listenSyslog(pki, "registry");
  await stop();
  await expect(to(port, tlsOf("hospital-a"))).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  expect(listener.messages.length).toBe(before);
});

test.each([
  ["whose own server is down: it ends right behind the handshake", (socket: TLSSocket) => void socket.end()],
  ["that breaks the connection off", (socket: TLSSocket) => void socket.destroy()],
])("nothing counts as taken by a proxy %s", async (_what, leave) => {
  const read = (name: string) => readFileSync(join(pki, name), "utf8");
  const proxy = createServer({ key: read("registry/tls.key"), cert: read("registry/tls.crt") }, leave);
  await once(proxy.listen(0, "127.0.0.1"), "listening");
  const { port } = proxy.address() as AddressInfo;
  await expect(
    sendSyslog({ host: "127.0.0.1", port, tls: tlsOf("hospital-a") }, [message("x")], signal),
  ).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  proxy.close();
});

test("nor by a server that does not trust the house's certificate, and says nothing of it", async () => {
  const stranger = await testPki();
  const mistrusting = await listenSyslog(stranger, "registry");
  const tls = { ...tlsOf("hospital-a"), ca: readFileSync(join(stranger, "ca.crt"), "utf8") };
  await expect(
    sendSyslog({ host: "127.0.0.1", port: mistrusting.port, tls }, [message("x")], signal),
  ).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  expect(mistrusting.messages).toEqual([]);
  await mistrusting.stop();
});
