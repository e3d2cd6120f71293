/** Exchanges that a test opens as it needs them: one PKI for all of a file, and whatever was opened is closed after the test. */
import { afterEach, beforeAll } from "vitest";
import { openExchange, type TestExchange, testPki } from "./sites.ts";

type Open = (settings?: Readonly<Record<string, string>>, edit?: (yaml: string) => string) => Promise<TestExchange>;

/** Called once, in a file or a `describe`, which it gives its hooks. */
export function exchanges(): Open {
  let pki: string;
  const opened: TestExchange[] = [];
  beforeAll(async () => {
    pki = await testPki();
  });
  afterEach(async () => {
    for (const exchange of opened.splice(0)) await exchange.close();
  });
  return async (...how) => {
    const exchange = await openExchange(pki, ...how);
    opened.push(exchange);
    return exchange;
  };
}
