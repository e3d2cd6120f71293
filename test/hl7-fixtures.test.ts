/** Every third-party message, each at a house with a fresh data folder: what it is answered, what becomes of it, and why. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test } from "vitest";
import { acksIn, openHouse } from "./house.ts";
import { fixtures } from "./peers.ts";
import { testPki, until } from "./sites.ts";

const folder = fixtures("hl7v2");
const names = folder.available ? readdirSync(folder.path).filter((name) => !name.endsWith(".md")) : [];
/** Acknowledgements, what the journal says of each message, and why: the files of that outcome. */
const outcomes: readonly (readonly [acks: string, journal: string, why: string, files: readonly string[]])[] = [
  [
    "AA",
    "filtered NO_DOCUMENT",
    "a type that a channel takes, and no document in it",
    [
      "aidbox-local-only.hl7",
      "aidbox-obr25-y.hl7",
      "cosyte-mdm-t02.hl7",
      "cosyte-oru-r01-lab.hl7",
      "cosyte-oru-r01.golden.hl7",
      "ipf-valid-pcd01-MaximumRequest2.hl7",
      "wales-hl7-v2.3.1-oru-r01-1.hl7",
      "wales-hl7-v2.4-oru-r01-2.hl7",
    ],
  ],
  [
    "AA",
    "filtered NO_CHANNEL",
    "no channel takes this type: safe, acknowledged, counted, not sealed",
    [
      "aidbox-non-standard-orc5.hl7",
      "au-mdm-hl7AckMessage.hl7",
      "cosyte-2-adt-a01.hl7",
      "cosyte-adt-a01.golden.hl7",
      "cosyte-adt-a01.hl7",
      "cosyte-adt-a24-link.hl7",
      "cosyte-adt-a43-move.hl7",
      "cosyte-adt-mutate-source.hl7",
      "cosyte-bare-message.hl7",
      "cosyte-dft-p03-charge.hl7",
      "cosyte-sample.hl7",
      "fr-3-ack.er7",
      "fr-4-ack.er7",
      "fr-5-ack.er7",
      "fr-ack.er7",
      "glion-adt-a01-basic.hl7",
      "glion-dft-p03-charge.hl7",
      "glion-orm-o01.hl7",
      "hapi-adt_a03.txt",
      "hapi-cv.04_001_chem.hl7",
      "hapi-omd_o03_rep.txt",
      "ipf-2-ok-1_Response.hl7",
      "ipf-PDQ_Maximal_Query_Response.hl7",
      "ipf-PDQ_connectathon2011_namespaces_issue_Response.hl7",
      "ipf-nf-1_Response.hl7",
      "ipf-ok-2_Response.hl7",
      "ipf-qbp.hl7",
      "ipf-rsp.hl7",
      "lfh-ORU-multiline-short.hl7",
      "oie-batch02.hl7",
      "wales-hl7-v2.3-siu-s12-1.hl7",
      "wales-hl7-v2.3-vxu-v04-1.hl7",
      "wales-hl7-v2.3.1-vxq-v01-1.hl7",
      "wales-hl7-v2.3.1-vxr-v03-1.hl7",
      "wales-hl7-v2.3.1-vxu-v04-1.hl7",
      "wales-hl7-v2.5.1-qbp-q11-1.hl7",
      "wales-hl7-v2.5.1-rsp-k11-1.hl7",
      "wales-hl7-v2.5.1-rsp-k11-2.hl7",
      "wales-hl7-v2.5.1-rsp-k11-3.hl7",
    ],
  ],
  [
    "AA",
    "filtered MERGE_NOT_COMPARABLE",
    "a merge of numbers whose authority has no OID here",
    ["cosyte-adt-a18-merge-deprecated.hl7", "cosyte-adt-a34-merge.hl7"],
  ],
  [
    "CA AA",
    "filtered NO_CHANNEL",
    "AL/AL: the commit, then the verdict",
    ["aidbox-with-authority.hl7", "hapi-segmentfinder_a24.hl7"],
  ],
  [
    "AA AA",
    "filtered NO_CHANNEL, filtered NO_CHANNEL",
    "a batch: each message on its own, whatever BTS-1 says",
    ["cosyte-count-mismatch.hl7", "cosyte-single-batch.hl7"],
  ],
  [
    "AA AE AA",
    "filtered NO_CHANNEL, refused HL7_MALFORMED, filtered NO_CHANNEL",
    "a batch: the malformed one is refused in its place, the others are not",
    ["cosyte-malformed-mid-batch.hl7"],
  ],
  [
    "AE",
    "refused DOCUMENT_MALFORMED",
    "OBX-5 is not what it says",
    ["fr-message_MDM__LPS_MSS_CR_Radio_RPLC_N1.er7", "fr-message_ORU_CR_Bio_INIT_N3_SEGUR.hl7"],
  ],
  [
    "AA",
    "done CANCELLED_AHEAD",
    "MDM^T04 with OBX-11 D of what has not come: TXA-12 names it, whatever its Base64 is",
    ["fr-message_MDM_CR_Radio_DEL_N1.er7", "fr-message_MDM__LPS_MSS_CR_Radio_DEL_N1.er7"],
  ],
  [
    "AE",
    "refused CDA_INVALID",
    "the document breaks a hard rule",
    ["fr-message_MDM_CR_Radio_INIT_N1.er7", "fr-message_MDM__LPS_MSS_CR_Radio_INIT_N1.er7"],
  ],
  [
    "AA",
    "done ATTACHMENT_NOT_CARRIED",
    "the document is taken, what is beside it is not",
    ["fr-message_MDM_CR_Radio_INIT_N1_Base64.er7", "fr-message_MDM_CR_Radio_RPLC_N1.er7"],
  ],
  [
    "AE",
    "refused HL7_MALFORMED",
    "thirteen messages in one frame without a batch header; no MSH",
    ["hapi-example_oml_o21.hl7", "hapi-uuencoded.txt"],
  ],
  [
    "CA",
    "filtered NO_CHANNEL",
    "AL/NE: the commit alone; no channel takes it",
    ["lfh-sample_unix.hl7", "lfh-sample_win.hl7", "wales-hl7-v2.3-oru-r01-2.hl7"],
  ],
  [
    "CA",
    "refused DOCUMENT_MALFORMED",
    "AL/NE: it was committed, so what is wrong with it is quarantined and alarmed",
    ["made-bad-base64.hl7"],
  ],
  [
    "CA",
    "done",
    "AL/NE: the commit alone; the document is taken",
    [
      "made-bad-pid-mismatch.hl7",
      "made-mdm-t02-base64-tw.hl7",
      "made-mdm-t02-big5.hl7",
      "made-mdm-t02-escaped-text.hl7",
      "made-mdm-t02-lf-base64-lines.hl7",
      "made-mdm-t02-sjis-in-2022.hl7",
      "made-mdm-t06-addendum.hl7",
      "made-mdm-t10-replace.hl7",
      "made-oru-r01-ed-cda-and-pdf.hl7",
    ],
  ],
  ["CA AA", "done", "AL/AL: the commit, then the verdict", ["made-enhanced-al-al.hl7"]],
  ["", "done", "NE/NE: taken, never answered", ["made-enhanced-ne-ne.hl7"]],
  [
    "CA",
    "done ATTACHMENT_NOT_CARRIED",
    "AL/NE, and something beside the document",
    ["made-mdm-t02-multipart-related.hl7"],
  ],
  ["CA", "done CANCELLED_AHEAD", "AL/NE: it cancels a document that has not come", ["made-mdm-t11-cancel.hl7"]],
  ["CA", "filtered NO_DOCUMENT", "AL/NE: the commit alone; no document in it", ["oie-small.hl7"]],
  [
    "AE CA",
    "refused HL7_MALFORMED, filtered NO_DOCUMENT",
    "a broken frame is never merged with the next, which is good (AL/NE)",
    ["stream-aborted-then-whole.mllp", "stream-fs-without-cr.mllp"],
  ],
  [
    "CA CA",
    "filtered NO_DOCUMENT, filtered NO_DOCUMENT",
    "two good frames (AL/NE), whatever is between them",
    ["stream-doubled-vt-fs.mllp", "stream-noise-nul-between.mllp", "stream-two-frames.mllp"],
  ],
  [
    "",
    "filtered NO_DOCUMENT",
    "ER/NE or NE/NE: taken, nothing to say",
    ["wales-hl7-v2.3-oru-r01-1.hl7", "wales-hl7-v2.3-oru-r01-3.hl7", "wales-hl7-v2.5.1-oru-r01-1.hl7"],
  ],
];
const outcomeOf = (name: string) => outcomes.find(([, , , files]) => files.includes(name));

describe.skipIf(!folder.available)(`third-party messages ${folder.reason}`, () => {
  let pki: string;
  beforeAll(async () => {
    pki = await testPki();
  });

  test.for(names)("%s", async (name) => {
    const house = await openHouse(pki);
    try {
      const bytes = readFileSync(join(folder.path, name));
      const back = name.endsWith(".mllp") ? await house.write(bytes, 0) : await house.ask(bytes, 0);
      const arrived = () => house.store.arrivals.list({ limit: 10_000 });
      await until("a verdict", () => arrived().every(({ state }) => state !== "accepted"));
      const outcome = arrived().map(({ id, state, code }) =>
        [
          state,
          code,
          ...house.store.items
            .byArrival(id)
            .filter((item) => item.state === "held")
            .map((item) => item.code),
        ]
          .filter(Boolean)
          .join(" "),
      );
      const acks = acksIn(back).map((each) => each.slice(0, 2));
      const [expectedAcks, expectedJournal] = outcomeOf(name) ?? [];
      expect([acks.join(" "), outcome.join(", ")]).toEqual([expectedAcks, expectedJournal]);
      // Every answer names the message that it answers.
      for (const ack of acksIn(back)) expect(bytes.toString("latin1")).toContain(ack.slice(3));
    } finally {
      await house.close();
    }
  });
});
