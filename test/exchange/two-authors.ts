/** Houses of which two may push to hospital B: hospital A, and the registry as a house of its own. */
import { afterAll, beforeAll } from "vitest";
import { cda, chen } from "../fixtures/documents.ts";
import { openExchange, type TestExchange, testPki } from "../sites.ts";
import { type Peer, peerOf } from "./peer.ts";

export let pki: string;
export let exchange: TestExchange;
/** Speaks as whoever has keys, at hospital B. */
export let peer: Peer;

/** For the tests of the file that calls this. */
export function twoAuthors(): void {
  beforeAll(async () => {
    pki = await testPki();
    exchange = await openExchange(pki, {}, (yaml) =>
      yaml.replace("{ push: [hospital-a] }", "{ push: [hospital-a, registry] }"),
    );
    peer = peerOf(pki, exchange.env.B_PORT);
  });
  afterAll(() => exchange.close());
}

export const report = (extension: string): Uint8Array =>
  cda({ form: "113", extension, patient: chen, code: "11502-2", display: "x", title: "t", body: "x" });
