/** Limits over all listeners of a site: octets in flight, and connections. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach, describe, expect, test } from "vitest";
import type { Context, Running } from "../../connectors/connector.ts";
import { openBudget as openFlowBudget } from "../../connectors/dicom/flow.ts";
import { dicomSource } from "../../connectors/dicom/scp.ts";
import { dicomDestination, echo } from "../../connectors/dicom/scu.ts";
import { openBudget, within } from "../../connectors/mllp/budget.ts";
import { mllpSource } from "../../connectors/mllp/index.ts";
import { listenOn, openPlaces } from "../../connectors/wire.ts";
import { until } from "../sites.ts";
import { accepting, framed, message } from "./mllp-listening.ts";

describe("octets in flight", () => {
  test("over the site's limit a connection of another listener waits, until the first has finished", () => {
    const site = openBudget(1000, 0);
    const [his, ris] = [within(openBudget(10_000, 0), site), within(openBudget(10_000, 0), site)];
    let changes = 0;
    const changed = () => {
      changes += 1;
    };
    const [first, second] = [his.open(changed), ris.open(changed)];
    first.hold(800);
    second.hold(800);
    expect([first.isOver(), second.isOver()]).toEqual([false, true]);
    expect(changes).toBeGreaterThan(0);
    first.hold(5000);
    expect([first.isOver(), second.isOver()]).toEqual([false, true]);
    first.close();
    expect(second.isOver()).toBe(false);
  });

  test("over both limits there is always one that reads on", () => {
    const site = openBudget(1000, 0);
    const listeners = [within(openBudget(500, 0), site), within(openBudget(500, 0), site)];
    const shares = [0, 1, 0, 1, 1, 0].map((n) => listeners[n]?.open(() => undefined));
    for (const share of shares) share?.hold(400);
    for (let left = shares.length; left > 0; left -= 1) {
      const reading = shares.find((share) => share && !share.isOver());
      expect(reading).toBeDefined();
      reading?.close();
      shares.splice(shares.indexOf(reading), 1);
    }
  });

  test("over the limit who holds nothing reads on: a flood of unfinished frames keeps out no short message", () => {
    const site = openBudget(1000, 0);
    const [first, second, third] = [0, 1, 2].map(() => site.open(() => undefined));
    first?.hold(800);
    second?.hold(800);
    expect([first?.isOver(), second?.isOver(), third?.isOver()]).toEqual([false, true, false]);
    third?.hold(10);
    expect(third?.isOver()).toBe(true);
    third?.hold(0);
    expect(third?.isOver()).toBe(false);
  });

  test("a connection that waits has read no more than one chunk that nobody counts", async () => {
    const context = { log: () => undefined };
    const told = Promise.withResolvers<number>();
    const serve = (socket: Socket): void => {
      told.resolve(socket.readableHighWaterMark);
      socket.destroy();
    };
    const running = await listenOn({ host: "127.0.0.1", port: 0, graceMs: 0 }, serve, context);
    const socket = connect(Number(running.address.split(":")[1]), "127.0.0.1").on("error", () => undefined);
    expect(await told.promise).toBeLessThanOrEqual(65_536);
    socket.destroy();
    await running.stop();
  });

  test("what connections may read before they can be told to wait counts; one that has had a message to its end is trusted", () => {
    const site = openBudget(1000, 100);
    const shares = [0, 1, 2, 3].map(() => site.open(() => undefined));
    expect(site.hasRoom()).toBe(true);
    shares.push(site.open(() => undefined));
    expect(site.hasRoom()).toBe(false);
    // Octets that are read are no more than was counted for them.
    shares[0]?.hold(100);
    expect([site.hasRoom(), shares[0]?.isOver()]).toEqual([false, false]);
    shares[1]?.hold(101);
    expect([shares[0]?.isOver(), shares[1]?.isOver()]).toEqual([false, true]);
    shares[0]?.hold(0);
    shares[1]?.hold(0);
    expect(site.hasRoom()).toBe(true);
    for (const share of shares) share.close();
    expect(within(openBudget(1000, 100), site).hasRoom()).toBe(true);
  });

  test("instances that wait for the disk count, too", () => {
    const site = openBudget(1000, 0);
    site.open(() => undefined).hold(900);
    const flow = openFlowBudget(10_000, site);
    flow.take(50);
    expect(flow.isSpent()).toBe(false);
    flow.take(100);
    expect(flow.isSpent()).toBe(true);
    flow.take(-150);
    expect(flow.isSpent()).toBe(false);
  });
});

describe("connections", () => {
  const open: (Running | Socket)[] = [];
  afterEach(async () => {
    for (const each of open.splice(0)) await ("stop" in each ? each.stop() : each.destroy());
  });
  const accept: typeof accepting = async (arrival) => {
    for await (const _ of arrival.body);
    return await accepting(arrival);
  };
  const portOf = ({ address }: Running): number => Number(address.slice(address.lastIndexOf(":") + 1));

  test("beyond maxConnections of a listener HL7 gets AR and is told which option", async () => {
    const told: (string | undefined)[] = [];
    const context: Context = {
      log: (_event, { code, reason } = {}) => void told.push(code, reason),
      signal: new AbortController().signal,
    };
    const his = await mllpSource.listen(mllpSource.options.parse({ port: 0, maxConnections: 1 }), accept, context);
    open.push(his);
    const first = connect(portOf(his), "127.0.0.1").on("error", () => undefined);
    open.push(first);
    first.write(framed(message("M1")));
    await once(first, "data");
    const second = connect(portOf(his), "127.0.0.1").on("error", () => undefined);
    open.push(second);
    let back = "";
    second.on("data", (data: Buffer) => (back += data.toString()));
    await until("it is refused", () => back.includes("MSA|AR") && told.length > 0);
    expect(told).toEqual(["PEER_BUSY", expect.stringContaining("maxConnections")]);
  });

  test("beyond the site's limit HL7 gets AR and DICOM a rejection, whichever listener it is, until a place is free", async () => {
    const log: string[] = [];
    const signal = new AbortController().signal;
    const context: Context = { log: (event) => void log.push(event), signal, places: openPlaces(2) };
    const refuse = () => Promise.reject(new Error("nothing is sent here"));
    const his = await mllpSource.listen(mllpSource.options.parse({ port: 0 }), accept, context);
    const pacs = await dicomSource.listen(dicomSource.options.parse({ port: 0, aeTitle: "SEMRS" }), refuse, context);
    open.push(his, pacs);
    const dial = async (): Promise<{ socket: Socket; back: () => string }> => {
      const socket = connect(portOf(his), "127.0.0.1").on("error", () => undefined);
      open.push(socket);
      let back = "";
      socket.on("data", (data: Buffer) => (back += data.toString()));
      await once(socket, "connect");
      return { socket, back: () => back };
    };
    const peer = dicomDestination.options.parse({
      host: "127.0.0.1",
      port: portOf(pacs),
      callingAeTitle: "PACS",
      calledAeTitle: "SEMRS",
    });
    await echo(peer, context);
    const first = await dial();
    for (const { socket, back } of [first, await dial()]) {
      socket.write(framed(message("M1")));
      await until("it is answered", () => back() !== "");
    }
    const third = await dial();
    await until("refused", () => third.back().includes("MSA|AR"));
    expect(log).toContain("mllp.refused");
    await until("the refused one is gone", () => third.socket.closed);
    await expect(echo(peer, context)).rejects.toMatchObject({ code: "PEER_BUSY" });
    first.socket.destroy();
    await until("there is a place", () =>
      echo(peer, context).then(
        () => true,
        () => false,
      ),
    );
  });
});

test("over the budget of octets one connection reads on and ends, then the other", async () => {
  const told: string[] = [];
  const budget = openBudget(100, 0);
  const one = budget.open(() => told.push(`one ${one.isOver()}`));
  const two = budget.open(() => told.push(`two ${two.isOver()}`));
  one.hold(60);
  two.hold(60);
  expect([one.isOver(), two.isOver()]).toEqual([false, true]);
  one.hold(500);
  expect(one.isOver()).toBe(false);
  one.hold(0);
  expect([one.isOver(), two.isOver()]).toEqual([false, false]);
  expect(told).toEqual(["one false", "two true", "one false", "two false"]);
  two.close();
  one.hold(100);
  expect(one.isOver()).toBe(false);
});
