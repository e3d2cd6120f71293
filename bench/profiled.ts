/** Where a running Node process spends its CPU time: a profile over its inspector, summed by what the code is for. */

type Frame = { readonly functionName: string; readonly url: string };
type Node = { readonly id: number; readonly callFrame: Frame; readonly children?: readonly number[] };
type Profile = {
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
const idle = new Set(["(idle)", "(root)"]);

/** Starts a profile of the process whose inspector listens there; milliseconds of its main thread by kind, once that is stopped. */
export async function openProfile(port: string): Promise<() => Promise<Readonly<Record<string, number>>>> {
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
    return sums(taken);
  };
}

/** A frame without a place of its own, native or of the runtime, is for what called it. */
function sums({ nodes, samples, timeDeltas }: Profile): Readonly<Record<string, number>> {
  const kindOf = new Map<number, string>();
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id] as const)));
  const of = new Map(nodes.map((node) => [node.id, node]));
  const kind = (id: number): string => {
    const known = kindOf.get(id);
    if (known) return known;
    const { callFrame } = of.get(id) ?? { callFrame: { functionName: "", url: "" } };
    const parent = parents.get(id);
    const own = kinds.find(([, pattern]) => pattern.test(callFrame.url))?.[0];
    const isOurs = callFrame.url.startsWith("file:");
    const found = own ?? (isOurs || parent === undefined ? "other" : kind(parent));
    kindOf.set(id, found);
    return found;
  };
  const ms: Record<string, number> = {};
  for (const [at, id] of samples.entries()) {
    const { functionName } = of.get(id)?.callFrame ?? { functionName: "" };
    if (idle.has(functionName)) continue;
    const name = functionName === "(garbage collector)" ? "garbage" : kind(id);
    ms[name] = (ms[name] ?? 0) + (timeDeltas[at] ?? 0) / 1000;
  }
  return ms;
}
