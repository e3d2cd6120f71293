/** "Did my message get through?": who lost an answer asks for its receipt, instead of sending gigabytes once more. */
import { contentOf } from "../envelope/index.ts";
import { commandMediaType, readCommand, receiptMediaType, writeCommand } from "../formats/command.ts";
import { part1, seen } from "./once.ts";
import type { Exchange, Resource } from "./server.ts";

/** Answers with the very receipt that a message of the sender's own got, or with `unknown`: of others' messages nothing is told. */
export const messageStatus = (exchange: Exchange, station: Resource["station"]): Resource => ({
  station,
  path: `/${station}/status`,
  purposes: ["status"],
  event: "status",
  answer: async (opened) => {
    const { store, log } = exchange;
    const { message } = readCommand("status", await part1(opened));
    const before = store.messages.find(opened.org, message);
    await store.commit(seen(store, opened));
    log(`${station}.answered`, { peer: opened.org, message, count: before ? 1 : 0 });
    const unknown = writeCommand<"unknown">({ command: "unknown", message });
    return before
      ? {
          status: 200,
          purpose: "receipt",
          messageType: "receipt",
          content: [await contentOf(before.receipt, "command", receiptMediaType)],
        }
      : {
          status: 200,
          purpose: "response",
          messageType: "unknown",
          content: [await contentOf(unknown, "command", commandMediaType)],
        };
  },
});
