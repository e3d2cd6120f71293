/** Bad instances at a running house: the standard's status, kept sealed and listed for a person, no UID ever a path, and the association goes on. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readHead, readMeta } from "../formats/dicom.ts";
import { associated, command, ct, echoRq, explicitLittle, pdv, type ScriptedPeer } from "./dicom-peer.ts";
import { ctStudy } from "./fixtures/dicom.ts";
import { fixtures } from "./peers.ts";
import { openHospitalA, type TestExchange, testPki, until } from "./sites.ts";

let exchange: TestExchange;
beforeAll(async () => {
  const site = "    run: [imaging, documents]";
  exchange = await openHospitalA(await testPki(), {}, (yaml) =>
    yaml.replace(site, `    limits: { instance: 5MiB }\n${site}`),
  );
});
afterAll(() => exchange.close());

const [{ bytes: file } = { bytes: new Uint8Array() }] = ctStudy({ instancesPerSeries: 1 });
const { sopInstanceUid } = readHead(file);
const dataSet = Buffer.from(file.subarray(readMeta(file).offset));
const syntaxes = [explicitLittle, "1.2.840.10008.1.2"];
const contexts = syntaxes.map((syntax, n) => ({ id: n * 2 + 1, abstractSyntax: ct, transferSyntaxes: [syntax] }));

async function stored(
  peer: ScriptedPeer,
  bytes: Uint8Array,
  uid: string,
  sopClassUid = ct,
  contextId = 1,
): Promise<string> {
  peer.send(
    command(contextId, [2, sopClassUid], [0x100, 1], [0x110, 1], [0x700, 0], [0x800, 0], [0x1000, uid]),
    ...(bytes.length === 0 ? [pdv(contextId, false, true, bytes)] : []),
  );
  for (let at = 0; at < bytes.length; at += 16_000)
    peer.send(pdv(contextId, false, at + 16_000 >= bytes.length, bytes.subarray(at, at + 16_000)));
  return Number((await peer.message()).command.get(0x900)).toString(16);
}
const counts = async () => (await exchange.admin("hospital-a").get<{ items: Record<string, number> }>("/counts")).items;
type Refused = { readonly id: string; readonly code: string; readonly reason: string; readonly controlId: string };
const quarantined = async () => (await exchange.admin("hospital-a").get<{ refused: Refused[] }>("/journal")).refused;
const everything = (): string[] => readdirSync(exchange.folder, { recursive: true }).map(String);

const codes: Readonly<Record<string, string>> = { a900: "DICOM_MISMATCH", c000: "DICOM_INVALID" };

/** Answers with this status, goes on with the association, and keeps it for a person alone; its id there. */
async function refused(
  statuses: readonly string[],
  bytes: Uint8Array,
  uid = sopInstanceUid,
  sopClassUid = ct,
  contextId = 1,
) {
  const [before, listed] = [await counts(), (await quarantined()).map(({ id }) => id)];
  const peer = await associated(Number(exchange.env.A_PACS), contexts);
  const status = await stored(peer, bytes, uid, sopClassUid, contextId);
  expect(statuses).toContain(status);
  peer.send(echoRq());
  expect((await peer.message()).command.get(0x900)).toBe(0);
  peer.socket.destroy();
  expect(await counts()).toEqual(before);
  const fresh = (await quarantined()).filter(({ id }) => !listed.includes(id));
  expect(fresh).toMatchObject([{ code: codes[status], controlId: /^[0-9.]{1,64}$/.test(uid) ? uid : "" }]);
  expect(fresh[0]?.reason.length).toBeGreaterThan(10);
  return fresh[0]?.id ?? "";
}

/** What a person sees of it: a Part 10 file with the data set as it came. */
async function revealed(id: string): Promise<Buffer> {
  const body = await exchange
    .admin("hospital-a")
    .download(`/journal/${id}/reveal`, { reason: "what did the PACS send" });
  const parts: Uint8Array[] = [];
  for await (const part of body) parts.push(part);
  return Buffer.concat(parts);
}

test.each([
  ["cut off within an element", dataSet.subarray(0, -100), ["c000"]],
  ["cut off between elements", dataSet.subarray(0, 8 + dataSet.readUInt16LE(6)), ["c000", "a900"]],
  ["of no octets", Buffer.alloc(0), ["c000"]],
  ["that is none", Buffer.from("%PDF-1.7 is no data set, however long it is"), ["c000"]],
  ["with elements out of order", Buffer.concat([dataSet, dataSet]), ["c000"]],
])("an instance %s", async (_what, bytes, statuses) => {
  const file = await revealed(await refused(statuses, bytes));
  expect(file.subarray(readMeta(file).offset).equals(bytes)).toBe(true);
});

test("sent again and again it is one matter; its payload rests sealed", async () => {
  const bytes = Buffer.concat([dataSet.subarray(0, -50), Buffer.from("王小明")]);
  const id = await refused(["c000"], bytes);
  const before = await quarantined();
  const peer = await associated(Number(exchange.env.A_PACS), contexts);
  for (let n = 0; n < 3; n += 1) expect(await stored(peer, bytes, sopInstanceUid)).toBe("c000");
  peer.socket.destroy();
  expect(await quarantined()).toEqual(before);
  await expect(
    exchange.admin("hospital-a").post(`/journal/${id}/resend`, { reason: "the PACS was mended" }),
  ).rejects.toMatchObject({ message: expect.stringContaining("its sender has to send it again") });
  for (const name of everything().filter((each) => statSync(join(exchange.folder, each)).isFile()))
    expect(readFileSync(join(exchange.folder, name)).includes("王小明"), name).toBe(false);
});

test("cut off with its association it was never whole: logged, and nothing is kept", async () => {
  const before = await quarantined();
  const peer = await associated(Number(exchange.env.A_PACS), contexts);
  exchange.log.splice(0);
  peer.send(command(1, [2, ct], [0x100, 1], [0x110, 1], [0x700, 0], [0x800, 0], [0x1000, sopInstanceUid]));
  peer.send(pdv(1, false, false, dataSet.subarray(0, 1000)));
  peer.socket.destroy();
  await until("told", () => exchange.log.some(({ event }) => event === "dicom.refused"));
  expect(await quarantined()).toEqual(before);
});

test("over the house's limit, whatever it is: A700, nothing of it is kept, and the association goes on", async () => {
  const written = () =>
    everything().filter(
      (name) => (statSync(join(exchange.folder, name), { throwIfNoEntry: false })?.size ?? 0) > 2 ** 20,
    );
  const [before, listed, files] = [await counts(), await quarantined(), written()];
  const peer = await associated(Number(exchange.env.A_PACS), contexts);
  for (const bytes of [Buffer.alloc(6 * 2 ** 20), Buffer.concat([dataSet, Buffer.alloc(6 * 2 ** 20)])])
    expect(await stored(peer, bytes, sopInstanceUid)).toBe("a700");
  peer.send(echoRq());
  expect((await peer.message()).command.get(0x900)).toBe(0);
  peer.socket.destroy();
  expect({ counts: await counts(), refused: await quarantined(), files: written() }).toEqual({
    counts: before,
    refused: listed,
    files,
  });
});

test("another SOP Instance UID than announced, and another SOP class than the context's: A900", async () => {
  await refused(["a900"], dataSet, "1.2.3.4");
  await refused(["a900"], dataSet, sopInstanceUid, "1.2.840.10008.5.1.4.1.1.4");
});

describe("a UID that is none is refused, in the command and in the data set, and is never a path", () => {
  test.each([
    ["a way up", "../../../../tmp/evil"],
    ["an absolute path", "/tmp/evil"],
    ["NUL within", "1.2\u00003"],
    ["300 characters", `1.${"2".repeat(298)}`],
    ["nothing", ""],
    ["a line end", "1.2\n3"],
  ])("%s", async (_what, uid) => {
    const before = everything().length;
    await refused(["a900", "c000"], dataSet, uid);
    await refused(["a900", "c000"], withUid(sopInstance, uid), uid);
    await refused(["a900", "c000"], dataSet, sopInstanceUid, uid);
    for (const element of [sopInstance, sopClass, studyInstance, seriesInstance])
      await refused(["a900", "c000"], withUid(element, uid));
    const after = everything();
    expect(after.filter((name) => name.includes("evil") || name.includes("2222222222"))).toEqual([]);
    expect(after.length).toBe(before);
  });
});

/** UIDs as they begin in the data set: tag and VR. */
const [sopClass, sopInstance] = [0x16, 0x18].map((element) => Buffer.from([8, 0, element, 0, 0x55, 0x49]));
const [studyInstance, seriesInstance] = [0x0d, 0x0e].map((element) => Buffer.from([0x20, 0, element, 0, 0x55, 0x49]));

/** The data set with another one. */
function withUid(element: Uint8Array | undefined, uid: string): Buffer {
  const at = dataSet.indexOf(element ?? "");
  expect(at).toBeGreaterThan(0);
  const head = Buffer.from(dataSet.subarray(at, at + 8));
  const value = Buffer.from(uid.length % 2 === 1 ? `${uid}\u0000` : uid, "latin1");
  head.writeUInt16LE(value.length, 6);
  return Buffer.concat([dataSet.subarray(0, at), head, value, dataSet.subarray(at + 8 + dataSet.readUInt16LE(at + 6))]);
}

const there = fixtures("dicom");
describe.skipIf(!there.available)(`malformed files of others ${there.reason}`, () => {
  const names = there.available ? readdirSync(there.path).filter((name) => name.startsWith("malformed")) : [];
  test.each(names)("%s is refused as what it says it is, and as another class or syntax", async (name) => {
    const bytes = readFileSync(join(there.path, name));
    let body: Uint8Array = bytes;
    try {
      body = bytes.subarray(readMeta(bytes).offset);
    } catch {
      // No File Meta Information: the whole of it is the data set.
    }
    for (const contextId of [1, 3]) {
      const kept = await revealed(await refused(["c000", "a900"], body, sopInstanceUid, ct, contextId));
      expect(kept.subarray(readMeta(kept).offset).equals(body)).toBe(true);
    }
  });
});

test("after all of it a good instance is kept", async () => {
  const peer = await associated(Number(exchange.env.A_PACS), contexts);
  expect(await stored(peer, dataSet, sopInstanceUid)).toBe("0");
  peer.socket.destroy();
  expect(await counts()).toEqual({ waiting: 1 });
});
