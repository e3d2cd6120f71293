/** What the waiting room asks a PACS of its house: how many instances a study has there, and to send it. */
import { codeOf, reasonOf } from "../errors.ts";
import type { Item } from "../store/store.ts";
import type { OutboundChannel } from "./config.ts";
import type { AskPacs } from "./pull.ts";
import { type Site, step } from "./site.ts";

export type StudyQuestion = {
  readonly now: "count" | "pull";
  readonly studies: readonly string[];
  readonly document: Item;
  readonly channel: OutboundChannel;
};

/** Questions run beside the looks, one a key: a PACS that answers late holds up nothing else. */
export function openStudyQuestions(site: Site, pacs: AskPacs) {
  const running = new Map<string, Promise<void>>();
  const put = async ({ now, studies, document, channel }: StudyQuestion): Promise<void> => {
    const system = channel.assemble?.study[now === "count" ? "expect" : "pull"] ?? "";
    for (const uid of studies) {
      const at = Date.now();
      const asked = now === "count" ? pacs.countOf(system, uid) : pacs.pull(system, uid);
      const told = await asked.then(
        (count) => ({ count, code: null }),
        (thrown: unknown) => {
          const code = codeOf(thrown);
          site.log(
            "assemble.deferred",
            { channel: channel.name, message: document.id, peer: system, code, reason: reasonOf(thrown) },
            "warn",
          );
          return { count: null, code };
        },
      );
      const { store } = site;
      const { pulls } = store.studies.find(uid);
      const detail = told.count === null ? null : `${told.count} instances`;
      await store.commit([
        store.studies.mark(uid, now === "count" ? { expected: told.count, askedAt: at } : { pulls: pulls + 1 }),
        step(site, document.id, "assemble", now === "count" ? "counted" : "pulled", {
          peer: system,
          detail,
          code: told.code,
        }),
      ]);
    }
  };
  return {
    isAsking: (key: string): boolean => running.has(key),
    /** `done` is called when all is answered; `failed` when that could not be noted, and would be asked again at once. */
    ask: (key: string, question: StudyQuestion, done: () => void, failed: (thrown: unknown) => void): void => {
      const asking = put(question)
        .finally(() => running.delete(key))
        .then(done, failed);
      running.set(key, asking);
    },
    stop: async (): Promise<void> => void (await Promise.all(running.values())),
  };
}
