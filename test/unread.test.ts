/** Who shows no credentials is refused before anything of a body is read: it is decided though none of it was ever sent. */
import { once } from "node:events";
import { type ClientRequest, request as plain } from "node:http";
import { type RequestOptions, request as secure } from "node:https";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { initPki } from "../commands/pki/index.ts";
import { peerOf, read } from "./exchange/peer.ts";
import { openExchange, type TestExchange, testPki, until } from "./sites.ts";

let pki: string;
let at: TestExchange;
beforeAll(async () => {
  pki = await testPki();
  at = await openExchange(pki);
});
afterAll(() => at.close());

const announced = String(1024 * 1024);

/** A POST of which only the head is sent. */
function headOf(open: typeof plain | typeof secure, options: RequestOptions): ClientRequest {
  const outgoing = open({ method: "POST", host: "127.0.0.1", ...options });
  outgoing.on("error", () => undefined).flushHeaders();
  return outgoing;
}

test("the admin port, without its token", async () => {
  const headers = { "Content-Type": "application/json", "Content-Length": announced };
  const path = "/journal/x/resend";
  const outgoing = headOf(plain, { port: at.env.A_ADMIN, path, headers });
  const [{ statusCode }] = (await once(outgoing, "response")) as [{ statusCode?: number }];
  outgoing.destroy();
  expect(statusCode).toBe(401);
});

test("a partner's resources, under a certificate that is nobody's", async () => {
  await initPki(pki, ["hospital-z"], { now: new Date() });
  const keys = join(pki, "hospital-z");
  const { headers } = await peerOf(pki, at.env.B_PORT).push();
  const options = {
    port: at.env.B_PORT,
    path: "/semrs/v1/repository/documents",
    key: read(keys, "tls.key"),
    cert: read(keys, "tls.crt"),
    ca: read(pki, "ca.crt"),
    headers: { ...Object.fromEntries(headers), "Content-Length": announced },
  };
  // The answer waits for the end of the request, as every refusal does; what comes until then is dropped.
  const outgoing = headOf(secure, options);
  await until("refused", () =>
    at.log.some(({ site, fields }) => site === "hospital-b" && /belongs to no partner/.test(fields.reason ?? "")),
  );
  outgoing.destroy();
});
