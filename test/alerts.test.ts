/** A house whose registry is down tells a syslog server and a webhook so: once, whatever happens to them and to itself meanwhile. */
import { once } from "node:events";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { Told } from "../pipeline/alert-targets.ts";
import { ctStudy } from "./fixtures/dicom.ts";
import { chen, sampleMessage } from "./fixtures/documents.ts";
import { openExchange, testPki, until } from "./sites.ts";
import { listenSyslog } from "./syslog-listener.ts";

test("a queue that waits is raised once and resolved once, at every target, across a restart", async () => {
  const pki = await testPki();
  const syslog = await listenSyslog(pki, "registry");
  const posted: string[] = [];
  let refusals = 1;
  const keys = { key: readFileSync(join(pki, "registry/tls.key")), cert: readFileSync(join(pki, "registry/tls.crt")) };
  const webhook = createServer(keys, async (request, response) => {
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    refusals -= 1;
    if (refusals < 0) posted.push(Buffer.concat(chunks).toString());
    response.writeHead(refusals < 0 ? 204 : 503).end();
  });
  await once(webhook.listen(0, "127.0.0.1"), "listening");
  const { port } = webhook.address() as AddressInfo;
  const alerts = `alerts: { every: 100ms, queueAge: 300ms, syslog: [{ to: "127.0.0.1:${syslog.port}" }],
      webhooks: [{ url: "https://semrs:s3cret@127.0.0.1:${port}?key=s3cret", ca: ${join(pki, "ca.crt")} }] }`;
  const exchange = await openExchange(pki, { RETRY: "100ms" }, (yaml) =>
    yaml.replace("  hospital-a:\n", `  hospital-a:\n    ${alerts}\n`),
  );
  try {
    await exchange.stop("registry");
    await exchange.instances(ctStudy({ instancesPerSeries: 1 }).map(({ bytes }) => bytes));
    await exchange.message(sampleMessage("mdm-t02-116"));
    await until("the webhook to be told", () => posted.length > 0);
    await exchange.stop("hospital-a");
    await exchange.start("hospital-a");
    await exchange.start("registry");
    await exchange.registered(1);
    await until("both to be told of the end", () =>
      [posted, syslog.messages].every((each) => each.some((text) => text.includes("resolved"))),
    );
    // What is cut off by a stop may come twice, as the same.
    const told = [...new Map(posted.map((body) => [body, JSON.parse(body) as Told])).values()];
    expect(told).toMatchObject([
      { site: "hospital-a", state: "raised", kind: "queue-age", subject: "registry" },
      { site: "hospital-a", state: "resolved", kind: "queue-age", subject: "registry" },
    ]);
    expect(new Set(told.map(({ id }) => id)).size).toBe(2);
    expect([...new Set(syslog.messages)].map((message) => message.replace(/^.*? queue-age - \ufeff/, ""))).toEqual([
      expect.stringMatching(/^raised: the oldest delivery to registry waits for \d+ s$/),
      expect.stringMatching(/^resolved: /),
    ]);
    const lines = exchange.log.filter(({ event }) => event.startsWith("alert.")).map(({ event }) => event);
    expect(lines).toEqual(["alert.raised", "alert.deferred", "alert.resolved"]);
    const everything = [...posted, ...syslog.messages, JSON.stringify(exchange.log)].join();
    for (const secret of [chen.national, chen.name, "s3cret"]) expect(everything).not.toContain(secret);
  } finally {
    await exchange.close();
    await syslog.stop();
    webhook.close();
    webhook.closeAllConnections();
  }
});
