/** A house that is being stopped says so, and calls for nobody, while what is under way may still finish. */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Check } from "../pipeline/readiness.ts";
import { sampleMessage } from "./fixtures/documents.ts";
import { openExchange, type TestExchange, testPki, until } from "./sites.ts";

let at: TestExchange;
const sockets: Socket[] = [];
const silent = createServer((socket) => void sockets.push(socket.on("error", () => undefined)));
beforeAll(async () => {
  at = await openExchange(await testPki(), { RETRY: "100ms" });
});
afterAll(async () => {
  for (const socket of sockets) socket.destroy();
  silent.close();
  await at.close();
});

test("it is not ready for that it is stopping, not for listeners that have closed", async () => {
  await at.stop("registry");
  await once(silent.listen(Number(at.env.REGISTRY_PORT), "127.0.0.1"), "listening");
  await at.message(sampleMessage("mdm-t02-121"));
  await until("a registration hangs", () => sockets.length > 0);
  const stopped = at.stop("hospital-a");
  let failed: Check | undefined;
  await until("it is not ready", async () => {
    const response = await fetch(`http://127.0.0.1:${at.env.A_ADMIN}/health/ready`);
    const { checks } = (await response.json()) as { checks: readonly Check[] };
    failed = checks.find(({ check, state }) => check === "listeners" && state === "fail");
    return failed !== undefined;
  });
  expect(failed?.says).toBe("the site is stopping");
  await stopped;
  expect(at.log.filter(({ event }) => event === "health.failed")).toEqual([]);
});
