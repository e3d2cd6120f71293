/** Where a running Node process spends its CPU time: a profile over its inspector, summed by what the code is for. */
import { join } from "node:path";

type Frame = { readonly functionName: string; readonly url: string };
type Node = { readonly id: number; readonly callFrame: Frame; readonly children?: readonly number[] };
export type Profile = {
  readonly nodes: readonly Node[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
};

const kinds = [
  ["cryptography", /\/(envelope)\/|internal\/crypto|node:crypto/],
  ["store", /\/store\/|node:sqlite|internal\/worker|worker_threads/],
  [
    "HTTP",
    /\/(express|router|send|body-parser|qs|finalhandler)\/|node:(_http|https?|net|tls|_tls|stream)|internal\/(streams|stream_base|net|tls|http)|\/connectors\//,
  ],
] as const;
const root = `${join(import.meta.dirname, "..")}/`;
const idle = new Set(["(idle)", "(root)"]);

/** Starts a profile of the main thread of the process whose inspector listens there; it is given once that is stopped. */
export async function openProfile(port: string): Promise<() => Promise<Profile>> {
  const [target] = (await (await fetch(`http://127.0.0.1:${port}/json/list`)).json()) as {
    webSocketDebuggerUrl: string;
  }[];
  const socket = new WebSocket(target?.webSocketDebuggerUrl ?? "");
  await new Promise((resolve, reject) => {
    socket.onopen = resolve;
    socket.onerror = reject;
  });
  const waiting = new Map<number, (result: unknown) => void>();
  socket.onmessage = ({ data }) => {
    const { id, result } = JSON.parse(String(data)) as { id: number; result: unknown };
    waiting.get(id)?.(result);
  };
  let last = 0;
  const call = (method: string, params = {}): Promise<unknown> => {
    last += 1;
    const { promise, resolve } = Promise.withResolvers<unknown>();
    waiting.set(last, resolve);
    socket.send(JSON.stringify({ id: last, method, params }));
    return promise;
  };
  await call("Profiler.enable");
  await call("Profiler.setSamplingInterval", { interval: 1000 });
  await call("Profiler.start");
  return async () => {
    const { profile: taken } = (await call("Profiler.stop")) as { profile: Profile };
    socket.close();
    return taken;
  };
}

/** Milliseconds of a profile by what `placeOf` says of a frame; where it says nothing, the frame is for what called it. */
function sums(
  { nodes, samples, timeDeltas }: Profile,
  placeOf: (frame: Frame) => string | undefined,
  rest: string,
): Readonly<Record<string, number>> {
  const places = new Map<number, string>();
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)));
  const of = new Map(nodes.map((node) => [node.id, node]));
  const place = (id: number): string => {
    const known = places.get(id);
    if (known !== undefined) return known;
    const parent = parents.get(id);
    const found = placeOf(of.get(id)?.callFrame ?? nowhere) ?? (parent === undefined ? rest : place(parent));
    places.set(id, found);
    return found;
  };
  const ms: Record<string, number> = {};
  for (const [at, id] of samples.entries()) {
    const { functionName } = of.get(id)?.callFrame ?? nowhere;
    if (idle.has(functionName)) continue;
    const name = functionName === "(garbage collector)" ? "garbage" : place(id);
    ms[name] = (ms[name] ?? 0) + (timeDeltas[at] ?? 0) / 1000;
  }
  return ms;
}
const nowhere: Frame = { functionName: "", url: "" };

/** By what the code is for; a frame that is native or of the runtime is for what called it. */
export const byKind = (profile: Profile): Readonly<Record<string, number>> =>
  sums(
    profile,
    ({ url }) => kinds.find(([, pattern]) => pattern.test(url))?.[0] ?? (url.startsWith("file:") ? "other" : undefined),
    "other",
  );

/** By file of ours, or package, that called it. */
export const byFile = (profile: Profile): Readonly<Record<string, number>> =>
  sums(profile, ({ url }) => fileOf(url), "Node's own, called by its loop");

function fileOf(url: string): string | undefined {
  if (!url.startsWith("file:")) return undefined;
  const [, name] = /\/node_modules\/((?:@[^/]+\/)?[^/]+)\//.exec(url) ?? [];
  return name ?? decodeURIComponent(new URL(url).pathname).slice(root.length);
}
