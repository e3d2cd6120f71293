/** Who has not shaken hands with a listener that has TLS may be anybody, and takes no place of who has. */
import { once } from "node:events";
import { mkdtempSync, readFileSync } from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as tlsConnect } from "node:tls";
import { beforeAll, expect, test } from "vitest";
import { initPki } from "../../commands/pki/index.ts";
import type { Context } from "../../connectors/connector.ts";
import { mllpSource } from "../../connectors/mllp/index.ts";
import { openPlaces, type Tls } from "../../connectors/wire.ts";
import { until } from "../sites.ts";
import { accepting, codes, framed, message, stopAfterEach, stops } from "./mllp-listening.ts";

let tls: NonNullable<Tls>;
beforeAll(async () => {
  const folder = mkdtempSync(join(tmpdir(), "semrs-strangers-"));
  await initPki(folder, ["a"], { now: new Date() });
  const text = (name: string): string => readFileSync(join(folder, name), "utf8");
  tls = { key: text("a/tls.key"), certificate: text("a/tls.crt"), ca: text("ca.crt"), clientCertificate: "require" };
});
stopAfterEach();

test.each([
  ["maxConnections of the listener", { maxConnections: 2 }, {}],
  ["limits.connections of the house", {}, { places: openPlaces(2) }],
])("%s: a HIS is served beside strangers without end, of whom 128 stay", async (_limit, options, places) => {
  const context: Context = { log: () => undefined, signal: new AbortController().signal, ...places };
  const deliver: typeof accepting = async (arrival) => {
    for await (const _ of arrival.body);
    return await accepting(arrival);
  };
  const source = await mllpSource.listen(mllpSource.options.parse({ port: 0, tls, ...options }), deliver, context);
  stops.push(() => source.stop());
  const at = { port: Number(source.address.split(":")[1]), host: "127.0.0.1" };
  let gone = 0;
  const strangers = Array.from({ length: 130 }, () =>
    connect(at)
      .on("error", () => undefined)
      .on("close", () => (gone += 1)),
  );
  stops.push(() => strangers.map((socket) => socket.destroy()));
  await until("the oldest are gone", () => gone === 2);
  const his = tlsConnect({ ...at, key: tls.key, cert: tls.certificate, ca: tls.ca, servername: "localhost" });
  stops.push(() => his.destroy());
  let back = "";
  his.on("data", (data: Buffer) => (back += data.toString("latin1")));
  await once(his, "secureConnect");
  his.write(framed(message("M1")));
  await until("it is answered", () => back.length > 0);
  expect(codes(back)).toEqual(["AA M1"]);
});
