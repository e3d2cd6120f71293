/** MLLP release 2: a commit byte before each acknowledgement, or the refusal byte alone. */
import { once } from "node:events";
import { expect, test } from "vitest";
import type { Deliver } from "../../connectors/connector.ts";
import { until } from "../sites.ts";
import {
  accepting,
  codes,
  framed,
  listening,
  message,
  refusing,
  stopAfterEach,
  talk,
  unstored,
} from "./mllp-listening.ts";

stopAfterEach();

test.for([
  ["kept and good", accepting, "\u000b\u0006\u001c\r", "AA 1"],
  ["kept and wrong", refusing, "\u000b\u0006\u001c\r", "AE 1"],
  ["not kept", unstored, "\u000b\u0015\u001c\r", ""],
] as const)("%s", async ([, deliver, first, then]) => {
  const { port } = await listening(deliver as Deliver, { release: 2 });
  const { socket, back } = await talk(port);
  // The peer's own commit bytes for our answers are no messages.
  socket.write(Buffer.concat([framed(message("1")), Buffer.from("\u000b\u0006\u001c\r"), framed(message("2"))]));
  await until("both are answered", () => back().split(first).length === 3);
  await until("and acknowledged", () => then === "" || codes(back()).length === 2);
  expect(back().startsWith(first)).toBe(true);
  expect(codes(back())[0] ?? "").toBe(then);
});

const notKept = "\u000b\u0015\u001c\r";
test.for([
  ["over maxBytes", message("1") + "x".repeat(5_000)],
  ["a batch over its limit", `BHS|^~\\&\r${"MSH|\r".repeat(100_001)}`],
] as const)("%s is not kept, which the refusal byte says alone", async ([what, sent]) => {
  const maxBytes = what === "over maxBytes" ? 4_096 : 2_000_000;
  const { port } = await listening(accepting, { release: 2, maxBytes });
  const { socket, back } = await talk(port);
  socket.write(framed(sent));
  await until("the answer", () => back().includes("\u001c\r"));
  expect(back()).toBe(notKept);
});

test("a connection too many: the one on which nothing was ever accepted is told the same", async () => {
  const { port } = await listening(accepting, { release: 2, maxPerAddress: 1 });
  const { socket, back } = await talk(port);
  await talk(port);
  await once(socket, "close");
  expect(back()).toBe(notKept);
});
