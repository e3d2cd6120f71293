/** The disk fills up while a part comes in (refusal 84): refused with a signed answer, nothing half kept, and taken later. */
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { bytesOf, contentFrom, octets } from "../envelope/people.ts";
import { peerOf } from "../exchange/peer.ts";
import { openExchange, type TestExchange, testPki, until } from "../sites.ts";
import { type Disk, disks, makeDisk } from "./disk.ts";

const disk = disks();
const mebibyte = 1 << 20;
let mounted: Disk | undefined;
let exchange: TestExchange | undefined;
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
    const blobs = join(data, "hospital-b", "blobs");
    const written = () =>
      readdirSync(blobs, { recursive: true, encoding: "utf8" })
        .map((name) => statSync(join(blobs, name), { throwIfNoEntry: false }))
        .filter((each) => each?.isFile() && each.size > 0).length;

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
