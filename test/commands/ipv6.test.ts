/** A house that listens on addresses of IPv6, written as in a URL: verbs find its admin port. */
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { openHospitalA, type TestExchange, testPki } from "../sites.ts";
import { semrs } from "./cli.ts";

let exchange: TestExchange;
beforeAll(async () => {
  exchange = await openHospitalA(await testPki(), {}, (yaml) =>
    yaml.replaceAll('listen: "127.0.0.1:', 'listen: "[::1]:'),
  );
});
afterAll(() => exchange.close());

test.each<[readonly string[], string]>([
  [["status", "--config"], "channel  accepted"],
  [["doctor"], "pass running site, listeners: 3 open"],
  [["verify", "--config"], "0 acknowledged, 0 blobs"],
  [["check"], "::1:"],
])("semrs %j", async (args, says) => {
  const { out, err } = await semrs([...args, join(exchange.folder, "hospital-a.yaml")], {
    env: { ...exchange.env, SITE: "hospital-a" },
  });
  expect(out, err).toContain(says);
});
