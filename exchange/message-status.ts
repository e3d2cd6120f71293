/**
 * "Did my message get through?": who lost an answer asks for its receipt, instead of sending gigabytes once more. "Do you still
 * have what you have signed?": who holds heads of our audit log asks for them, and finds out when we were restored from a backup.
 */
import { contentOf } from "../envelope/index.ts";
import { commandMediaType, readCommand, receiptMediaType, writeCommand } from "../formats/command.ts";
import type { Answer } from "./answers.ts";
import { part1, seen } from "./once.ts";
import type { Exchange, Resource } from "./server.ts";

/** Answers with the very receipt that a message of the sender's own got, or with `unknown`: of others' messages nothing is told. Or with a head. */
export const messageStatus = (exchange: Exchange, station: Resource["station"]): Resource => ({
  station,
  path: `/${station}/status`,
  purposes: ["status"],
  event: "status",
  answer: async (opened) => {
    const { store, log } = exchange;
    const asked = readCommand("status", await part1(opened));
    await store.commit(seen(store, opened));
    if ("heads" in asked) {
      const head = asked.heads.find(store.audit.stoodAt) ?? null;
      log(`${station}.answered`, { peer: opened.org, message: opened.manifest.message, count: head ? 1 : 0 });
      return told("holds", writeCommand<"holds">({ command: "holds", head }));
    }
    const { message } = asked;
    const before = store.messages.find(opened.org, message);
    log(`${station}.answered`, { peer: opened.org, message, count: before ? 1 : 0 });
    if (!before) return told("unknown", writeCommand<"unknown">({ command: "unknown", message }));
    const content = [await contentOf(before.receipt, "command", receiptMediaType)];
    return { status: 200, purpose: "receipt", messageType: "receipt", content };
  },
});

const told = async (messageType: string, command: Uint8Array): Promise<Answer> => ({
  status: 200,
  purpose: "response",
  messageType,
  content: [await contentOf(command, "command", commandMediaType)],
});
