/** The MLLP source: every acknowledgement mode, batches, limits of memory and patience, and a stop. */
import { once } from "node:events";
import { describe, expect, test } from "vitest";
import type { Deliver, HeldBudget } from "../../connectors/connector.ts";
import { openBudget } from "../../connectors/mllp/budget.ts";
import { mllpSource } from "../../connectors/mllp/index.ts";
import { Fault } from "../../errors.ts";
import { until } from "../sites.ts";
import {
  accepting,
  codes,
  framed,
  listening,
  message,
  refusing,
  stopAfterEach,
  stops,
  talk,
  unstored,
} from "./mllp-listening.ts";

stopAfterEach();

describe("acknowledgements by MSH-15/16 (HL7 v2.5.1 2.9.3, Table 0155)", () => {
  /** When the message is good, when its content is wrong, and when it could not be kept. */
  test.for([
    ["|", "AA", "AE", "AR"],
    ["NE|NE", "", "", ""],
    ["AL|NE", "CA", "CA", "CR"],
    ["SU|NE", "CA", "CA", ""],
    ["ER|NE", "", "", "CR"],
    ["NE|AL", "AA", "AE", "AR"],
    ["NE|SU", "AA", "", ""],
    ["NE|ER", "", "AE", "AR"],
    ["AL|AL", "CA AA", "CA AE", "CR"],
    ["AL|ER", "CA", "CA AE", "CR"],
    ["AL|SU", "CA AA", "CA", "CR"],
    ["ER|AL", "AA", "AE", "CR"],
    ["AL|", "CA", "CA", "CR"],
    ['""|""', "AA", "AE", "AR"],
    ["al|NE ", "CA", "CA", "CR"],
  ] as const)("%s", async ([acks, good, wrong, lost]) => {
    for (const [deliver, expected] of [
      [accepting, good],
      [refusing, wrong],
      [unstored, lost],
    ] as const) {
      const { port } = await listening(deliver);
      const { socket, back } = await talk(port);
      // A message in original mode after it shows that nothing more comes.
      socket.write(Buffer.concat([framed(message("1", acks)), framed(message("2"))]));
      await until("the second is answered", () => back().includes("|2\r"));
      const told = codes(back()).filter((each) => each.endsWith(" 1"));
      expect(told.map((each) => each.slice(0, 2)).join(" ")).toBe(expected);
    }
  });
});

describe("batches (HL7 v2.5.1 2.10.3)", () => {
  const batch = (messages: readonly string[], count: number): string =>
    `FHS|^~\\&|HIS|A|SEMRS|A|20260102||||F1\rBHS|^~\\&|HIS|A|SEMRS|A|20260102||||B1\r${messages.join("")}BTS|${count}\rFTS|1\r`;

  test("each message is delivered on its own, and answered in a batch in the order they came", async () => {
    const { port, log } = await listening(async (arrival) =>
      arrival.controlId === "2" ? await refusing(arrival) : await accepting(arrival),
    );
    const { socket, back } = await talk(port);
    socket.write(framed(batch([message("1"), message("2"), message("3", "NE|NE"), message("4")], 4)));
    await until("the answer", () => back().includes("FTS|1\r\u001c\r"));
    expect(codes(back())).toEqual(["AA 1", "AE 2", "AA 4"]);
    const lines = back().replaceAll("\u000b", "").split("\r");
    expect(lines[0]).toMatch(/^FHS\|\^~\\&\|SEMRS\|A\|HIS\|A\|\d{14}\+0000\|\|\|\|S[0-9A-Z]+\|F1$/);
    expect(back()).toContain("BTS|3\r");
    expect(log).toEqual([]);
  });

  test("one that is malformed gets its AE in its place, and a wrong count is told", async () => {
    const { port, log } = await listening(async ({ controlId }) => {
      if (controlId === "") throw new Fault("HL7_MALFORMED", "not an HL7 message");
      return await accepting({} as never);
    });
    const { socket, back } = await talk(port);
    socket.write(framed(batch([message("1"), "MSH|^~\r", message("3")], 4)));
    await until("the answer", () => back().includes("FTS|1\r\u001c\r"));
    expect(codes(back())).toEqual(["AA 1", "AE ", "AA 3"]);
    expect(log).toContain("mllp.warned");
  });

  test("release 2: its commit byte says that all of it is kept, and comes when it is", async () => {
    const kept = Promise.withResolvers<void>();
    const begun = Promise.withResolvers<void>();
    const lost = new Set<string>();
    const { port } = await listening(
      async (arrival) => {
        begun.resolve();
        await kept.promise;
        return lost.has(arrival.controlId) ? await unstored(arrival) : await accepting(arrival);
      },
      { release: 2 },
    );
    const { socket, back } = await talk(port);
    socket.write(framed(batch([message("1"), message("2")], 2)));
    await begun.promise;
    // The listener writes an answer a turn after it has it.
    await new Promise((resolve) => setImmediate(resolve));
    expect(back()).toBe("");
    kept.resolve();
    await until("the answer", () => back().includes("FTS|1\r\u001c\r"));
    expect(back().startsWith("\u000b\u0006\u001c\r\u000bFHS|")).toBe(true);
    expect(codes(back())).toEqual(["AA 1", "AA 2"]);
    lost.add("2");
    const before = back().length;
    socket.write(framed(batch([message("1"), message("2")], 2)));
    await until("the refusal", () => back().slice(before).includes("\u001c\r"));
    expect(back().slice(before)).toBe("\u000b\u0015\u001c\r");
  });

  test("an empty one is refused", async () => {
    const { port } = await listening(async ({ mediaType }) => {
      if (mediaType === "application/octet-stream") throw new Fault("HL7_MALFORMED", "nothing in it");
      return await accepting({} as never);
    });
    const { socket, back } = await talk(port);
    socket.write(framed(batch([], 0)));
    await until("the answer", () => codes(back()).length === 1);
    expect(codes(back())).toEqual(["AE "]);
  });
});

describe("limits", () => {
  test("what a connection has sent counts until it is kept, though its peer hangs up", async () => {
    const verdict = Promise.withResolvers<{ accepted: true }>();
    const taken = Promise.withResolvers<void>();
    const real = openBudget(1024 * 1024);
    const calls: string[] = [];
    const held: HeldBudget = {
      ...real,
      open: (changed) => {
        const share = real.open(changed);
        return {
          ...share,
          hold: (bytes) => {
            calls.push(`hold ${bytes}`);
            share.hold(bytes);
          },
          close: () => {
            calls.push("close");
            share.close();
          },
        };
      },
    };
    const pending: Deliver = async () => {
      taken.resolve();
      return { duplicate: false, answer: verdict.promise };
    };
    const { port } = await listening(pending, {}, held);
    const { socket } = await talk(port);
    socket.write(framed(message("1")));
    await taken.promise;
    const before = calls.length;
    socket.resetAndDestroy();
    await until("the reset is seen", () => calls.length > before);
    expect(calls.slice(before)).toEqual([calls[before - 1]]);
    verdict.resolve({ accepted: true });
    await until("nothing is held", () => calls.at(-1) === "close");
    expect(calls.at(-2)).toBe("hold 0");
  });

  test("many connections with large messages share the budget, and every message is answered", async () => {
    const { port } = await listening(accepting, { maxHeldBytes: 1024 * 1024 });
    const large = framed(`${message("1")}OBX|1|ED|||${"x".repeat(700_000)}\r`);
    const peers = await Promise.all(Array.from({ length: 6 }, () => talk(port)));
    for (const { socket } of peers) socket.write(large.subarray(0, 600_000));
    for (const { socket } of peers) socket.write(large.subarray(600_000));
    await until("all are answered", () => peers.every(({ back }) => codes(back()).length === 1));
  });

  test("an address over its connections is told AR and closed; another time is as good", async () => {
    const { port, log } = await listening(accepting, { maxPerAddress: 1 });
    const first = await talk(port);
    first.socket.write(framed(message("0")));
    await until("an answer", () => codes(first.back()).length === 1);
    const second = await talk(port);
    await once(second.socket, "close");
    expect(codes(second.back())).toEqual(["AR "]);
    expect(log).toContain("mllp.refused");
    first.socket.destroy();
    await once(first.socket, "close");
    await until("there is room", async () => {
      const { socket, back } = await talk(port);
      socket.write(framed(message("1")));
      await until("an answer", () => codes(back()).length === 1);
      return codes(back())[0] === "AA 1";
    });
  });

  test("a frame that drips is cut by its progress, though it is never silent", async () => {
    const { port, log } = await listening(refusing, { frameSeconds: 0.3 });
    const { socket } = await talk(port);
    socket.write("\u000bMSH|^~\\&|");
    const drip = setInterval(() => socket.write("x"), 20);
    await once(socket, "close");
    clearInterval(drip);
    expect(log).toContain("mllp.cut");
  });

  test("a quiet connection is closed only where that is asked for", async () => {
    const { port } = await listening(accepting, { idleSeconds: 1 });
    const { socket, back } = await talk(port);
    socket.write(framed(message("1")));
    await once(socket, "close");
    expect(codes(back())).toEqual(["AA 1"]);
  });
});

test("at a stop what was taken is answered, and the connection closed", async () => {
  const verdict = Promise.withResolvers<{ accepted: true }>();
  const taken = Promise.withResolvers<void>();
  const { port, source } = await listening(async () => {
    taken.resolve();
    return { duplicate: false, answer: verdict.promise };
  });
  const { socket, back } = await talk(port);
  socket.write(framed(message("1")));
  await taken.promise;
  const stopped = source.stop();
  socket.write(framed(message("2")));
  verdict.resolve({ accepted: true });
  await stopped;
  await until("closed", () => socket.closed || socket.readableEnded);
  expect(codes(back())).toEqual(["AA 1"]);
});

test("the octets of a large message are given back when nobody reads them any more, and not before", async () => {
  const pieces: Uint8Array[] = [];
  const { promise: done, resolve: end } = Promise.withResolvers<void>();
  const source = await mllpSource.listen(
    mllpSource.options.parse({ port: 0 }),
    async ({ body }) => {
      for await (const piece of body) pieces.push(piece);
      return { duplicate: false, answer: Promise.resolve({ accepted: true }), done };
    },
    { log: () => undefined, signal: new AbortController().signal },
  );
  stops.push(() => source.stop());
  const { socket, back } = await talk(Number(source.address.split(":")[1]));
  const text = `${message("L1")}NTE|1||${"x".repeat(20_000_000)}\r`;
  socket.write(framed(text));
  await until("it is answered", () => back().includes("MSA|AA|L1"));
  expect(Buffer.concat(pieces).toString("latin1") === text).toBe(true);
  end();
  await until("they are given back", () => pieces.every(({ length }) => length === 0));
});
