/** The Lua script of docs/coming-from.md in Orthanc, with `semrs` as its modality: what it routes travels with its report. */
import { mkdtempSync, readFileSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import type { Traced } from "../../commands/journal/trace.ts";
import { type DicomItem, dicomDestination } from "../../connectors/dicom/scu.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { dicomItem } from "../fixtures/dicom-item.ts";
import { sampleMessage } from "../fixtures/documents.ts";
import { peer } from "../peers.ts";
import { openHospitalA, type TestExchange, testPki, until } from "../sites.ts";
import { type Orthanc, startOrthanc } from "./orthanc.ts";

const peerOrthanc = peer("Orthanc");
let exchange: TestExchange | undefined;
let orthanc: Orthanc | undefined;
afterEach(async () => {
  await exchange?.close();
  await orthanc?.stop();
});

/** Modality (0008,0060) in explicit VR little endian. */
function asMr({ bytes }: { readonly bytes: Uint8Array }): Uint8Array {
  const copy = Buffer.from(bytes);
  copy.write("MR", copy.indexOf("\b\0`\0CS\x02\0CT", 0, "latin1") + 8, "latin1");
  return copy;
}

describe.skipIf(!peerOrthanc.available)(`Orthanc ${peerOrthanc.reason}`, () => {
  test("routes a CT to us, and no MR", async () => {
    const page = readFileSync(join(import.meta.dirname, "../../docs/coming-from.md"), "utf8");
    const [, script = ""] = /```lua\n([\s\S]*?)```/.exec(page) ?? [];
    const lua = join(mkdtempSync(join(tmpdir(), "semrs-lua-")), "route.lua");
    writeFileSync(lua, script.replace("'hospital-b'", "'semrs'"));
    exchange = await openHospitalA(await testPki());
    const { admin, env, message } = exchange;
    orthanc = await startOrthanc(
      "PACS_A",
      { semrs: ["SEMRS_A", "127.0.0.1", Number(env.A_PACS)] },
      { LuaScripts: [lua] },
    );
    const ct = ctStudy({ instancesPerSeries: 2 });
    const mr = ctStudy({ instancesPerSeries: 1, studyUid: "2.25.116077" }).map(asMr);
    async function* items(): AsyncGenerator<DicomItem> {
      for (const bytes of [...mr, ...ct.map((each) => each.bytes)]) yield dicomItem(bytes);
    }
    const to = { host: "127.0.0.1", port: orthanc.port, callingAeTitle: "CT_1", calledAeTitle: "PACS_A" };
    const signal = new AbortController().signal;
    await dicomDestination.send(dicomDestination.options.parse(to), items(), () => undefined, {
      log: () => undefined,
      signal,
    });
    expect(await orthanc.held()).toBe(ct.length + mr.length);
    await message(sampleMessage("mdm-t02-116"));
    const traced = () => admin("hospital-a").get<Traced>("/trace/S116");
    await until("the record", async () => (await traced()).records.length > 0, 40_000);
    expect((await traced()).records[0]?.parts).toBe(ct.length + 1);
    const { items: states } = await admin("hospital-a").get<{ items: Record<string, number> }>("/counts");
    expect(states.waiting ?? 0).toBe(0);
  });
});
