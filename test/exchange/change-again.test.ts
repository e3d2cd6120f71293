/** A change that comes again, since its answer was lost: the same receipt, whatever has become of the entry or the houses meanwhile. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeCommand } from "../../formats/command.ts";
import type { TestExchange } from "../sites.ts";
import { type Asking, openAsking, type Said } from "./asking.ts";
import { documentOf, registration } from "./indexed.ts";

let exchange: TestExchange;
let asking: Asking;
beforeAll(async () => {
  ({ exchange, asking } = await openAsking());
});
afterAll(() => exchange.close());

test("a deprecation that comes again after the entry was removed gets its receipt; one under a new id is refused", async () => {
  const document = documentOf("again");
  const { uniqueId } = document;
  const manifestSha256 = Buffer.from(uniqueId).toString("hex").padEnd(64, "0").slice(0, 64);
  await asking.ask("hospital-a", "register", registration([document]));
  const change = (action: "deprecate" | "remove"): Uint8Array =>
    writeCommand<"change">({ command: "change", action, uniqueId, manifestSha256 });
  const deprecated = async (): Promise<Said> =>
    await asking.post(
      "hospital-a",
      "change",
      await asking.seal("hospital-a", "change", change("deprecate"), "c4".repeat(16)),
    );
  const first = await deprecated();
  expect(first).toMatchObject({ status: 200, isRepeated: false });
  expect(await asking.ask("hospital-a", "change", change("remove"))).toMatchObject({ status: 200 });
  const again = await deprecated();
  expect(again).toMatchObject({ status: 200, isRepeated: true });
  expect(again.bytes).toEqual(first.bytes);
  expect(await asking.ask("hospital-a", "change", change("deprecate"))).toMatchObject({ status: 410 });
});
