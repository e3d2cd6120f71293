/** The disk fills up while a part (refusal 84) or an instance comes in: refused, nothing half kept, and taken later. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { readMeta } from "../../formats/dicom.ts";
import { associated, pdv, storeRq } from "../dicom-peer.ts";
import { bytesOf, contentFrom, octets } from "../envelope/people.ts";
import { peerOf } from "../exchange/peer.ts";
import { ctStudy } from "../fixtures/dicom.ts";
import { openExchange, openHospitalA, type TestExchange, testPki, until } from "../sites.ts";
import { type Disk, disks, makeDisk } from "./disk.ts";

const disk = disks();
const mebibyte = 1 << 20;
let mounted: Disk | undefined;
let exchange: TestExchange | undefined;

/** Files of a site with something in them. */
function writtenIn(blobs: string): number {
  return readdirSync(blobs, { recursive: true, encoding: "utf8" })
    .map((name) => statSync(join(blobs, name), { throwIfNoEntry: false }))
    .filter((each) => each?.isFile() && each.size > 0).length;
}
afterEach(async () => {
  await exchange?.close();
  mounted?.remove();
});

test.skipIf(!disk.available)(
  `84 the disk is full in mid-part: 507, signed; with space again the same envelope is taken ${disk.reason}`,
  async () => {
    mounted = makeDisk(400);
    const data = join(mounted.path, "data");
    const pki = await testPki();
    const sites = await openExchange(pki, { DATA: data });
    exchange = sites;
    const peer = peerOf(pki, sites.env.B_PORT);
    const draft = await peer.draft();
    const image = await contentFrom(octets(32 * mebibyte, 84), "dicom", "1.2.3.84");
    const sealed = await peer.push({ ...draft, content: [...draft.content.slice(0, 1), image] });
    const body = await bytesOf(sealed.body());
    const written = () => writtenIn(join(data, "hospital-b", "blobs"));

    const { outgoing, answered } = peer.begin(sealed.headers, body.length);
    outgoing.write(body.subarray(0, 12 * mebibyte));
    await until("the part is being written", () => written() === 1);
    const release = mounted.fill(4);
    outgoing.end(body.subarray(12 * mebibyte));
    const { statusCode, headers } = await answered;
    expect([statusCode, headers["x-semrs-profile"]]).toEqual([507, "semrs-2"]);
    expect(sites.log.some(({ site, fields }) => site === "hospital-b" && fields.code === "STORE_FULL")).toBe(true);
    await until("nothing of it is left", () => written() === 0);
    expect(sites.documentsAtB().size).toBe(0);

    release();
    expect(await peer.post(sealed.headers, body)).toMatchObject({ status: 201, isRepeated: false });
    await until("the document at HIS B", () => sites.documentsAtB().size === 1);
  },
  120_000,
);

test.skipIf(!disk.available)(
  `the disk is full in mid-instance: A700, and the association goes on; with space again it is taken ${disk.reason}`,
  async () => {
    mounted = makeDisk(400);
    const data = join(mounted.path, "data");
    exchange = await openHospitalA(await testPki(), { DATA: data });
    const [{ bytes, sopInstanceUid } = { bytes: new Uint8Array(), sopInstanceUid: "" }] = ctStudy({
      instancesPerSeries: 1,
      size: 4096,
    });
    const dataSet = bytes.subarray(readMeta(bytes).offset);
    const written = () => writtenIn(join(data, "hospital-a", "blobs"));
    const peer = await associated(Number(exchange.env.A_PACS));
    const send = (from: number, to = dataSet.length): void => {
      for (let at = from; at < to; at += 65_536)
        peer.send(pdv(1, false, at + 65_536 >= dataSet.length, dataSet.subarray(at, Math.min(at + 65_536, to))));
    };
    const status = async () => Number((await peer.message()).command.get(0x900)).toString(16);

    peer.send(storeRq(sopInstanceUid));
    send(0, 12 * mebibyte);
    await until("the instance is being written", () => written() === 1);
    const release = mounted.fill(4);
    send(12 * mebibyte);
    expect(await status()).toBe("a700");
    await until("nothing of it is left", () => written() === 0);

    release();
    await until("it is taken", async () => {
      peer.send(storeRq(sopInstanceUid));
      send(0);
      return (await status()) === "0";
    });
    expect(written()).toBe(1);
    peer.socket.destroy();
  },
  120_000,
);
