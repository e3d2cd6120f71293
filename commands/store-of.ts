/** The store of a site that does not run. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { codeOf, Fault } from "../errors.ts";
import type { Config } from "../pipeline/config.ts";
import { loadKeys } from "../pipeline/identity.ts";
import { openStore } from "../store/index.ts";
import type { Store } from "../store/store.ts";

/**
 * Undefined where a site runs, which has its store to itself. CONFIG_INVALID where there is none: a look makes no data folder, least of
 * all one of root's.
 */
export async function storeOf(config: Config): Promise<Store | undefined> {
  const folder = config.own.data;
  if (!["semrs.db", "accept.journal"].some((file) => existsSync(join(folder, file))))
    throw new Fault("CONFIG_INVALID", `${folder} holds no store yet`);
  return await openStore({ folder, key: loadKeys(config).storageKey, now: () => new Date() }).catch(
    (thrown: unknown) => (codeOf(thrown) === "ALREADY_RUNNING" ? undefined : Promise.reject(thrown)),
  );
}
