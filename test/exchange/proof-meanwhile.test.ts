/** A proof of delivery that comes while the answer to the push that it proves is being committed, in another thread than asks. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { pemToDer } from "../../envelope/certificate.ts";
import { contentOf, signReceipt } from "../../envelope/index.ts";
import { takeProof } from "../../exchange/proof.ts";
import type { Exchange } from "../../exchange/server.ts";
import { receiptMediaType } from "../../formats/command.ts";
import { newDelivery } from "../../pipeline/route.ts";
import type { Evidence, Store } from "../../store/store.ts";
import { siteAlone } from "../pipeline/site-alone.ts";
import { testPki } from "../sites.ts";
import { openAtA, peerOf, read } from "./peer.ts";

test("it counts, or is to come again: it is not refused for good", async () => {
  const [pki, folder] = [await testPki(), mkdtempSync(join(tmpdir(), "semrs-proof-"))];
  const site = await siteAlone({ PKI: pki, DATA: join(folder, "data") });
  const { store, identity, now } = site;
  const [id, peer] = [store.newId(), peerOf(pki, undefined)];
  const signed = async (verdict: "stored" | "delivered"): Promise<Uint8Array> => {
    const [from, to, manifestSha256] = ["hospital-b", "hospital-a", "1".repeat(64)];
    const receivedAt = `${now().toISOString().slice(0, 19)}Z`;
    const receipt = {
      message: id,
      id,
      manifestSha256,
      from,
      to,
      verdict,
      receivedAt,
      names: [manifestSha256],
    } as const;
    return await signReceipt(receipt, peer.signer("hospital-b"), now());
  };
  const octets = new Uint8Array(1);
  const own = { origin: "own", author: "hospital-a", state: "registered", code: null, reason: null } as const;
  const sealed = { manifest: octets, signature: octets, manifestSha256: "0".repeat(64), parts: [], entry: null };
  const row = { ...own, ...sealed, id, channel: "documents", key: "k", patients: [], createdAt: now().toISOString() };
  const pushed = { ...newDelivery(site, "push", "documents", "hospital-b"), record: id };
  const stored = await signed("stored");
  await store.commit([...store.records.add(row), store.deliveries.add({ ...pushed, state: "delivered" })]);
  await store.commit(store.records.attach(id, { kind: "stored", from: "hospital-b", receipt: stored }));
  // The first look of either kind is from before that commit, all others from behind it.
  const first = <T>(before: T, behind: T): T => (looks.shift() ? before : behind);
  const looks = [true];
  const meanwhile: Store = {
    ...store,
    records: {
      ...store.records,
      evidence: (record) => first<readonly Evidence[]>([], store.records.evidence(record)),
    },
    deliveries: {
      ...store.deliveries,
      list: (asked) => {
        const listed = store.deliveries.list(asked);
        return first(
          listed.map((each) => ({ ...each, state: "inflight" as const })),
          listed,
        );
      },
    },
  };
  const proof = await peer.push(
    {
      purpose: "receipt",
      sender: "hospital-b",
      messageType: "receipt",
      to: [{ org: "hospital-a", certificate: peer.certificateOf("hospital-a") }],
      content: [await contentOf(await signed("delivered"), "command", receiptMediaType)],
    },
    join(pki, "hospital-b"),
  );
  const opened = await openAtA(pki, proof.headers, proof.body(), { purposes: ["receipt"] });
  const trust = { ...identity.trust, crls: pemToDer(read(pki, "ca.crl"), "X509 CRL") };
  const exchange: Exchange = {
    identity: { ...identity, trust },
    store: meanwhile,
    now,
    log: () => undefined,
    tls: site.tls,
    passed: () => undefined,
    spools: undefined as never,
    locations: undefined as never,
  };
  const answered = await takeProof(exchange, opened).then(
    ({ status }) => status,
    ({ code }: { code: string }) => code,
  );
  expect([204, "PEER_BUSY"]).toContain(answered);
  await store.close();
});
