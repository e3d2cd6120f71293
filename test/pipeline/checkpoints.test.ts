/** A site signs where its audit log stands: at the start, every hour, at the stop, and never twice of one entry. */
import { afterEach, expect, test, vi } from "vitest";
import { readCheckpoint } from "../../envelope/index.ts";
import { openCheckpoints } from "../../pipeline/checkpoints.ts";
import type { Site } from "../../pipeline/site.ts";
import { a } from "../envelope/parties.ts";
import { until } from "../sites.ts";
import { freshStore, store } from "../store/fresh.ts";

freshStore();

afterEach(() => vi.useRealTimers());

test("at the start, every hour, and at the stop", async () => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  const told: string[] = [];
  const identity = { org: "registry", signer: a.signer } as Site["identity"];
  const log: Site["log"] = (event, { reason } = {}) => void told.push(`${event} ${reason}`);
  const write = () => store.commit(store.audit.add({ event: "start" }));
  const isSigned = () => store.signedHeads.last()?.seq === store.audit.head().seq;
  await write();
  const checkpoints = openCheckpoints({ store, identity, now: () => new Date(), log });
  checkpoints.begin();
  await until("signed at the start", isSigned);
  const signed = store.signedHeads.last()?.signed ?? Buffer.alloc(0);
  expect(readCheckpoint(signed).checkpoint).toMatchObject({ org: "registry", ...store.audit.head() });

  await write();
  expect(isSigned()).toBe(false);
  vi.advanceTimersByTime(3_600_000);
  await until("signed after an hour", isSigned);
  // Nothing was written since: nothing is signed.
  vi.advanceTimersByTime(3_600_000);
  await write();
  await checkpoints.stop();
  expect(isSigned()).toBe(true);
  expect(told).toHaveLength(3);
  expect(told.at(-1)).toBe(`audit.checkpointed ${store.audit.head().head}`);
});
