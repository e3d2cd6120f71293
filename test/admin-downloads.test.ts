/** What the admin port writes for as long as it takes: it ends with whoever asked, and leaves nothing open. */
import { readdirSync, statSync } from "node:fs";
import { connect } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { sealPart } from "../envelope/index.ts";
import { octets, wire } from "./envelope/people.ts";
import { type House, openHouse } from "./house.ts";
import { testPki, until } from "./sites.ts";
import { arrivalRow } from "./store/rows.ts";

let house: House;
beforeAll(async () => {
  house = await openHouse(await testPki());
});
afterAll(() => house.close());

/** More than a connection holds by itself. */
const bytes = 48 * 1024 * 1024;

/** Whether this process has a file of that size open. */
const isRead = (): boolean => readdirSync("/proc/self/fd").some((fd) => sizeOf(`/proc/self/fd/${fd}`) === bytes);
function sizeOf(path: string): number {
  try {
    return statSync(path).size;
  } catch {
    return 0;
  }
}

test("a payload whose reader goes away in the midst of it is read no further, and its file is closed", async () => {
  const { store, admin } = house;
  const part = sealPart(wire(octets(bytes, 1), 1024 * 1024), "segments");
  const blob = await store.blobs.put(part.cipher, part.facts);
  const row = arrivalRow(store.newId(), { blob: blob.name, state: "refused" });
  await store.commit([blob.change, store.arrivals.add(row)]);
  const socket = connect(admin.port, "127.0.0.1");
  const body = JSON.stringify({ reason: "a test" });
  socket.write(
    [
      `POST /journal/${row.id}/reveal HTTP/1.1`,
      "host: localhost",
      `authorization: Bearer ${admin.token()}`,
      "content-type: application/json",
      `content-length: ${body.length}`,
      "",
      body,
    ].join("\r\n"),
  );
  await until("it comes", () => socket.readableLength > 0);
  expect(isRead()).toBe(true);
  socket.destroy();
  await until("its file is closed", () => !isRead());
});
