/** Documents that a message only refers to (RP, or an address in an ED value): fetched from where the configuration allows, and nowhere else. */
import { setTimeout as wait } from "node:timers/promises";
import { getDocument } from "../connectors/http-get.ts";
import { tlsOptions } from "../connectors/wire.ts";
import { consequence } from "../errors.ts";
import { documentsIn, type EmbeddedDocument } from "../formats/hl7.ts";
import type { System } from "./config.ts";
import { tlsOf } from "./identity.ts";
import type { Site } from "./site.ts";
import type { SpooledMessage } from "./verdicts.ts";

type Allowed = NonNullable<System["mllp"]>["references"][number];

/** For one document, however often it is asked for: other messages of the system wait meanwhile. */
const timeoutMs = 10_000;
/** A server that is being restarted is asked again after these. */
const againMs = [500, 2_000] as const;

/** The documents of a message with those in place that it refers to and that may be fetched; the faults of `getDocument`. */
export async function followed(
  site: Site,
  { id, system, facts }: SpooledMessage,
  embedded: readonly EmbeddedDocument[],
): Promise<readonly EmbeddedDocument[]> {
  const allowed = site.config.own.systems[system]?.mllp?.references ?? [];
  const found: EmbeddedDocument[] = [];
  for (const document of embedded) {
    const url = document.kind === "reference" ? addressOf(document.bytes) : undefined;
    const entry = url && allowed.find(({ prefix }) => isUnder(url, prefix));
    if (!entry) {
      found.push(document);
      continue;
    }
    const bytes = await fetched(site, url, entry);
    site.log("source.fetched", { message: id, peer: url.host, bytes: bytes.length });
    found.push(...documentsIn(document.obx, bytes, facts).map((each) => ({ ...each, event: document.event })));
  }
  return found;
}

function addressOf(written: Uint8Array): URL | undefined {
  const text = Buffer.from(written).toString("utf8");
  return URL.canParse(text) ? new URL(text) : undefined;
}

/** Compared as parsed: dot segments are resolved, and a name and password before the host are never taken. */
export function isUnder(url: URL, prefix: string): boolean {
  return url.username === "" && url.password === "" && url.href.startsWith(new URL(prefix).href);
}

async function fetched(site: Site, url: URL, { trust, maxBytes }: Allowed): Promise<Uint8Array> {
  const { tls } = tlsOf(site.config, site.tls, { trust, clientCertificate: "require" });
  const signal = AbortSignal.any([site.signal, AbortSignal.timeout(timeoutMs)]);
  const get = async (attempt: number): Promise<Uint8Array> => {
    try {
      return await getDocument({
        url,
        at: site.documentAt?.(url) ?? url,
        tls: tlsOptions.parse(tls),
        maxBytes,
        signal,
      });
    } catch (thrown) {
      const ms = againMs[attempt];
      if (!consequence(thrown).retry || signal.aborted || ms === undefined) throw thrown;
      await wait(ms);
      return await get(attempt + 1);
    }
  };
  return await get(0);
}
