/** A document that is kept from another message while it is: its octets rest once, and no file of it is left that nobody names. */
import { mkdtempSync, readdirSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { beforeAll, expect, test } from "vitest";
import type { Opened2017 } from "../../envelope/index.ts";
import { receiveLegacy } from "../../pipeline/legacy.ts";
import type { Site } from "../../pipeline/site.ts";
import type { Store } from "../../store/store.ts";
import { cda, chen, mdmFor } from "../fixtures/documents.ts";
import { testPki } from "../sites.ts";
import { hisAlone } from "./his-alone.ts";
import { siteAlone } from "./site-alone.ts";

let pki: string;
beforeAll(async () => {
  pki = await testPki();
});

const about = { form: "113", extension: "LARGE.1", patient: chen, code: "1-8", display: "x", title: "t" };
const large = cda({ ...about, body: "<paragraph>x</paragraph>".repeat(20_000) });

/** A house in whose store `ahead` is done ahead of the first commit that it is said for. */
async function houseOf(SITE: string, isMeant: (opened: Store) => boolean, ahead: (site: Site) => Promise<void>) {
  const data = mkdtempSync(join(tmpdir(), "semrs-meanwhile-"));
  let isMet = false;
  const site: Site = await siteAlone({ PKI: pki, DATA: data, SITE }, (opened) => ({
    ...opened,
    commit: async (...of) => {
      if (!isMet && isMeant(opened)) {
        isMet = true;
        await ahead(site);
      }
      await opened.commit(...of);
    },
  }));
  /** Files with octets that no row names, and that retention knows nothing of. */
  const left = async (): Promise<readonly string[]> => {
    const dropped = site.store.blobs.dropped();
    await site.store.close();
    const index = new DatabaseSync(join(data, SITE, "semrs.db"), { readOnly: true });
    const rows = index.prepare("SELECT file FROM blob WHERE file IS NOT NULL").all();
    index.close();
    expect(rows).not.toEqual([]);
    const known = new Set([...rows.map(({ file }) => String(file)), ...dropped]);
    const blobs = join(data, SITE, "blobs");
    return readdirSync(blobs, { recursive: true, encoding: "utf8" }).filter((name) => {
      const file = statSync(join(blobs, name));
      return file.isFile() && file.size > 0 && !known.has(basename(name));
    });
  };
  return { site, left };
}

test("a report in two messages at once", async () => {
  const of = (identifiers: string, controlId: string) => mdmFor(large, { controlId, identifiers });
  const isSpooled = ({ arrivals }: Store): boolean => arrivals.list({ state: "accepted", limit: 1 }).length > 0;
  let send: (message: Uint8Array, controlId: string) => Promise<void>;
  const { site, left } = await houseOf("hospital-a", isSpooled, () => send(of(`${chen.chart}^^^HOSPA^MR`, "M2"), "M2"));
  ({ send } = hisAlone(site));
  await send(of(`${chen.national}^^^MOI^NI`, "M1"), "M1");
  const states = site.store.arrivals.list({ limit: 9 }).map(({ controlId, state }) => `${controlId} ${state}`);
  expect(states).toEqual(["M1 filtered", "M2 done"]);
  expect(await left()).toEqual([]);
});

test("a report of semrs-2017 that comes twice at once", async () => {
  const octets = new Uint8Array(1);
  const opened: Opened2017 = {
    ...{ outcome: "opened", org: "hospital-a", messageType: "113", document: large, documentSha256: "0".repeat(64) },
    ...{ signature: octets, signer: octets, envelopeSha256: "0".repeat(64), instances: [] },
  };
  const receive = (site: Site): Promise<void> => receiveLegacy(site, opened, site.store.legacy.answered("key", 204));
  const { site, left } = await houseOf("hospital-b", () => true, receive);
  await receive(site);
  expect(site.store.records.list({ limit: 9 })).toHaveLength(1);
  expect(await left()).toEqual([]);
});
