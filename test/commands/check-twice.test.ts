/** `semrs check` of destinations that are named twice: each would get every document twice. */
import { expect, test } from "vitest";
import { checked, type Edit } from "./checked.ts";

const pacs = '      - { to: pacs, identity: original, because: "this PACS keeps issuers apart" }\n';
const problems = async (edit: Edit) => (await checked(edit)).findings.map(({ code, message }) => `${code} ${message}`);

test("a system that a channel delivers to twice, and a partner that it routes to twice", async () => {
  expect(await problems([[pacs, `${pacs}${pacs}`]])).toEqual([
    "CONFIG_NAME channels.incoming.deliver.2: pacs is in this list already, and would get everything twice",
  ]);
  expect(
    await problems([
      [
        "late: addendum\n    seal: { profile: semrs-2 }         # recipients follow from route\n    route: [repository]",
        "late: addendum\n    route: [repository, hospital-b, hospital-b]",
      ],
    ]),
  ).toEqual([
    "CONFIG_NAME channels.imaging.route.2: hospital-b is in this list already, and would get everything twice",
  ]);
});

test("one HIS that is told of each document in two ways is meant", async () => {
  const his = "      - { to: pacs, identity";
  const also = '      - { to: his, as: { new: ORU^R01 }, identity: original, because: "for the viewer" }\n';
  expect(await problems([[his, `${also}${his}`]])).toEqual([]);
});
