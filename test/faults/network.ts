/** A network of its own: a namespace with two addresses behind a cable, one for HIS B and one for PACS B. */
import { execFileSync } from "node:child_process";

export type Network = {
  readonly his: string;
  readonly pacs: string;
  /** The command that runs another inside. */
  readonly under: readonly string[];
  /** What comes from this address goes nowhere any more, so that nobody there answers; the function that comes back ends it. */
  silence(address: string): () => void;
  /** The cable carries so much, for example `2mbit`; the function that comes back ends it. */
  slow(rate: string): () => void;
  [Symbol.dispose](): void;
};

export function openNetwork(): Network {
  const name = `semrs-${process.pid}`;
  // An interface has a name of at most 15 letters.
  const [near, far] = [`sn${process.pid}`, `sf${process.pid}`];
  const [here, his, pacs] = ["10.231.7.1", "10.231.7.2", "10.231.7.3"];
  const ip = (...args: readonly string[]): void => void execFileSync("ip", args, { stdio: "pipe" });
  const inside = (...args: readonly string[]): void => ip("-n", name, ...args);
  const remove = (): void => ip("netns", "del", name);
  ip("netns", "add", name);
  try {
    ip("link", "add", near, "type", "veth", "peer", "name", far, "netns", name);
    ip("addr", "add", `${here}/24`, "dev", near);
    ip("link", "set", near, "up");
    for (const address of [his, pacs]) inside("addr", "add", `${address}/24`, "dev", far);
    inside("link", "set", far, "up");
    inside("link", "set", "lo", "up");
  } catch (thrown) {
    remove();
    throw thrown;
  }
  return {
    his,
    pacs,
    // Not "ip netns exec": that would take a copy of all mounts with it, and keep a disk that is taken away.
    under: ["nsenter", `--net=/run/netns/${name}`],
    silence: (address) => {
      const rule = ["from", address, "blackhole"] as const;
      inside("rule", "add", ...rule);
      return () => inside("rule", "del", ...rule);
    },
    slow: (rate) => {
      execFileSync("tc", [
        "qdisc",
        "add",
        "dev",
        near,
        "root",
        "tbf",
        "rate",
        rate,
        "burst",
        "16kb",
        "latency",
        "300ms",
      ]);
      return () => void execFileSync("tc", ["qdisc", "del", "dev", near, "root"]);
    },
    [Symbol.dispose]: remove,
  };
}
