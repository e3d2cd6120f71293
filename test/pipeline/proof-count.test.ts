/** Proof by count: a PACS that has as many instances of a study as were sent has not said which. */
import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { readRequest, writeAccept } from "../../connectors/dicom/association.ts";
import { releaseRp } from "../../connectors/dicom/pdu.ts";
import { encodeElement } from "../../formats/dicom-encode.ts";
import { encodingOf } from "../../formats/dicom-tokens.ts";
import { prove } from "../../pipeline/proof.ts";
import type { Site } from "../../pipeline/site.ts";
import { command, pdv, playing } from "../dicom-peer.ts";
import { testPki } from "../sites.ts";
import { siteAlone } from "./site-alone.ts";

const implicit = "1.2.840.10008.1.2";
const set = (values: Readonly<Record<number, string>>): Buffer =>
  Buffer.concat(
    Object.entries(values).map(([tag, value]) =>
      encodeElement(Number(tag), "UI", Buffer.from(value.length % 2 ? `${value}\0` : value), encodingOf(implicit)),
    ),
  );

test("others that are as many are no proof of ours", async () => {
  // It has two instances of the study, of which one was sent.
  const there = ["1.2.3.1", "1.2.3.9"];
  const pacs = await playing(async (peer) => {
    const request = readRequest((await peer.next())?.body ?? Buffer.alloc(0));
    const accepted = request.contexts.map((each) => ({ ...each, result: 0 as const, transferSyntax: implicit }));
    peer.send(writeAccept(request, accepted, 16_384));
    const { contextId, command: of, dataSet } = await peer.message();
    const level = /STUDY|SERIES|IMAGE/.exec(dataSet.toString("latin1"))?.[0];
    const matches =
      level === "STUDY"
        ? [set({ 2097165: "1.2.3", 2101768: "2 " })]
        : level === "SERIES"
          ? [set({ 2097165: "1.2.3", 2097166: "1.2.3.0" })]
          : there.map((uid) => set({ 524312: uid, 2097165: "1.2.3", 2097166: "1.2.3.0" }));
    const said = (status: number, hasMatch: boolean): Buffer =>
      command(
        contextId,
        [0x100, 0x8020],
        [0x120, Number(of.get(0x110))],
        [0x800, hasMatch ? 0 : 0x101],
        [0x900, status],
      );
    for (const match of matches) peer.send(said(0xff00, true), pdv(contextId, false, true, match));
    peer.send(said(0, false));
    await peer.next();
    peer.socket.end(releaseRp);
  });
  const site = await siteAlone({ PKI: await testPki(), DATA: mkdtempSync(join(tmpdir(), "semrs-proof-")) });
  const { own } = site.config;
  const dicom = {
    ...own.systems.pacs?.dicom,
    proof: "count",
    connect: { host: "127.0.0.1", port: pacs.port },
    calledAeTitle: "PACS_A",
    clearText: { reason: "of a test" },
  };
  const systems = { ...own.systems, pacs: { ...own.systems.pacs, dicom } };
  const asking = { ...site, config: { ...site.config, own: { ...own, systems } } } as unknown as Site;
  const sent = ["1.2.3.1", "1.2.3.2"].map((sopInstanceUid) => ({
    sopInstanceUid,
    sopClassUid: "1.2.840.10008.5.1.4.1.1.2",
    studyInstanceUid: "1.2.3",
  }));
  expect([...(await prove(asking, "pacs", sent)).keys()]).toEqual(["1.2.3.2"]);
  pacs.stop();
  await site.store.close();
});
