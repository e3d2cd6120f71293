/** Something is down: what was accepted is queued, and delivered when it returns. */
import { beforeAll, describe, expect, test } from "vitest";
import { ports } from "../../commands/demo/ports.ts";
import { startReceivers } from "../../commands/demo/receivers.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { cda, chen, mdmFor, sampleMessage } from "../fixtures/documents.ts";
import { dataSetSha256, openExchange, type TestExchange, testPki, until } from "../sites.ts";

let pki: string;
beforeAll(async () => {
  pki = await testPki();
});

const study = ctStudy({ instancesPerSeries: 2 });
const fast = { RETRY: "100ms" };

async function acceptedAtA(exchange: TestExchange): Promise<void> {
  for (const outcome of (await exchange.instances(study.map(({ bytes }) => bytes))).values())
    expect(outcome.state).toBe("delivered");
  expect(await exchange.message(sampleMessage("mdm-t02-116"))).toMatchObject({ state: "delivered" });
}

const deliveries = async (exchange: TestExchange, site: "hospital-a" | "hospital-b", state: string): Promise<number> =>
  (await exchange.admin(site).get<{ deliveries: Record<string, number> }>("/counts")).deliveries[state] ?? 0;
const waiting = async (exchange: TestExchange, site: "hospital-a" | "hospital-b"): Promise<number> => {
  const { deliveries: by } = await exchange.admin(site).get<{ deliveries: Record<string, number> }>("/counts");
  return (by.queued ?? 0) + (by.ambiguous ?? 0) + (by.inflight ?? 0);
};

const arrived = async (exchange: TestExchange): Promise<void> => {
  await until(
    "document and images at B",
    () => exchange.documentsAtB().size === 1 && exchange.instancesAtB().size === study.length,
    30_000,
  );
  expect(exchange.instancesAtB()).toEqual(
    new Map(study.map(({ bytes, sopInstanceUid }) => [sopInstanceUid, dataSetSha256(bytes)])),
  );
};

describe("down and back", () => {
  test("the registry: registration waits, then goes", async () => {
    const exchange = await openExchange(pki, fast);
    try {
      await exchange.stop("registry");
      await acceptedAtA(exchange);
      await until("the registration waits", async () => exchange.log.some(({ event }) => event === "route.deferred"));
      expect(await waiting(exchange, "hospital-a")).toBe(1);
      await exchange.start("registry");
      await until("registered", async () => (await waiting(exchange, "hospital-a")) === 0);
      await exchange.message(sampleMessage("adt-a01"), "B_ADT");
      await arrived(exchange);
    } finally {
      await exchange.close();
    }
  });

  test("the registry for as long as it takes: what is accepted meanwhile waits, over a restart, and is registered once", async () => {
    const exchange = await openExchange(pki, fast);
    const attempts = (): number => exchange.log.filter(({ event }) => event === "route.deferred").length;
    try {
      await exchange.stop("registry");
      for (const n of Array(20).keys()) {
        const report = {
          form: "113",
          extension: `HOUR.${n}`,
          code: "11502-2",
          display: "x",
          title: "t",
          body: "x",
        } as const;
        await exchange.message(mdmFor(cda({ ...report, patient: chen }), { controlId: `HOUR.${n}` }));
        if (n === 10) {
          await until("it was tried for some time", () => attempts() >= 30);
          await exchange.stop("hospital-a");
          await exchange.start("hospital-a");
        }
      }
      await until("all wait", async () => (await waiting(exchange, "hospital-a")) === 20);
      await exchange.start("registry");
      await exchange.registered(20);
      await until("nothing waits", async () => (await waiting(exchange, "hospital-a")) === 0);
      expect(await deliveries(exchange, "hospital-a", "parked")).toBe(0);
      const registered = exchange.log.filter(({ event }) => event === "registry.registered");
      expect(registered.reduce((sum, { fields }) => sum + (fields.count ?? 0), 0)).toBe(20);
    } finally {
      await exchange.close();
    }
  });

  test("the registry at admission, and repository A at retrieval: both are asked again", async () => {
    const exchange = await openExchange(pki, fast);
    try {
      await acceptedAtA(exchange);
      await until("registered", async () => (await deliveries(exchange, "hospital-a", "delivered")) === 1);
      await exchange.stop("registry");
      await exchange.stop("hospital-a");
      expect(await exchange.message(sampleMessage("adt-a01"), "B_ADT")).toMatchObject({ state: "delivered" });
      await until("the query waits", () => exchange.log.some(({ event }) => event === "fetch.deferred"));
      await exchange.start("registry");
      await until("the retrieval waits", () => exchange.log.some(({ event }) => event === "open.deferred"));
      expect(exchange.documentsAtB().size).toBe(0);
      await exchange.start("hospital-a");
      await arrived(exchange);
    } finally {
      await exchange.close();
    }
  });

  test("HIS B and PACS B: deliveries wait, B is restarted meanwhile, and nothing is lost", async () => {
    const chosen = await ports(["B_HIS", "B_PACS"]);
    const exchange = await openExchange(pki, { ...fast, ...chosen });
    const signal = new AbortController().signal;
    try {
      await acceptedAtA(exchange);
      await until("registered", async () => (await deliveries(exchange, "hospital-a", "delivered")) === 1);
      await exchange.message(sampleMessage("adt-a01"), "B_ADT");
      await until(
        "the deliveries wait",
        () => exchange.log.filter(({ event }) => event === "deliver.deferred").length >= 2,
      );
      await exchange.stop("hospital-b");
      await exchange.start("hospital-b");
      const back = await startReceivers(`${exchange.folder}/receivers`, signal, {
        his: Number(chosen.B_HIS),
        pacs: Number(chosen.B_PACS),
      });
      try {
        await arrived(exchange);
        await until("B's queue is empty", async () => (await waiting(exchange, "hospital-b")) === 0);
      } finally {
        await back.stop();
      }
    } finally {
      await exchange.close();
    }
  });
});
