/** `semrs check` of what is named twice: a destination would get every document twice, a port can be listened on once. */
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

const his = `"127.0.0.1:\${A_HIS:2575}"`;
const listeners = (one: string, other: string): Edit => [
  [his, `"${one}:2575"`],
  [`"127.0.0.1:\${A_PACS:11112}"`, `"${other}:2575"`],
];
const twice = [
  "CONFIG_PORT_TWICE sites.hospital-a.systems.pacs.dicom.listen: port 2575 is taken by systems.his.mllp already",
];

test.each([
  ["two addresses of this machine", "127.0.0.1", "127.0.0.2", []],
  ["one address", "127.0.0.2", "127.0.0.2", twice],
  ["all addresses and one of them", "0.0.0.0", "127.0.0.2", twice],
  ["a name, which may be any of them", "localhost", "127.0.0.1", twice],
])("one port of %s", async (_what, one, other, said) => {
  const found = (await problems(listeners(one, other))).filter((text) => text.startsWith("CONFIG_PORT_TWICE"));
  expect(found).toEqual(said);
});
