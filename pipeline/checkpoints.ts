/**
 * Signs where the audit log stands: at the start, every hour, and at the stop. It is kept, and a line of the log says it, so that
 * whoever collects the log holds it, too. `semrs log verify` compares.
 */
import { signCheckpoint, utcSeconds } from "../envelope/index.ts";
import { codeOf, reasonOf } from "../errors.ts";
import type { Site } from "./site.ts";

export type Checkpoints = {
  /** Now, if anything was written since the last one, and from now on. */
  begin(): void;
  stop(): Promise<void>;
};

const everyMs = 3_600_000;

export function openCheckpoints({
  store,
  identity,
  now,
  log,
}: Pick<Site, "store" | "identity" | "now" | "log">): Checkpoints {
  let timer: NodeJS.Timeout | undefined;
  let signing: Promise<void> = Promise.resolve();

  const sign = async (): Promise<void> => {
    const { seq, head } = store.audit.head();
    if (store.signedHeads.last()?.seq === seq) return;
    const at = now();
    const signed = await signCheckpoint({ org: identity.org, seq, head, at: utcSeconds(at) }, identity.signer, at);
    await store.commit([store.signedHeads.add({ seq, at: at.toISOString(), signed })]);
    log("audit.checkpointed", { count: seq, reason: head });
  };
  const next = (): Promise<void> => {
    signing = signing
      .then(sign)
      .catch((thrown: unknown) => log("audit.unsigned", { code: codeOf(thrown), reason: reasonOf(thrown) }, "error"));
    return signing;
  };
  return {
    begin: () => {
      void next();
      timer = setInterval(next, everyMs).unref();
    },
    stop: async () => {
      clearInterval(timer);
      await next();
    },
  };
}
