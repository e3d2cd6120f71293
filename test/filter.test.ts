/** What a filter takes and leaves: fields of the message, values of the document's JSON view, confidentiality. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { Traced } from "../commands/journal/trace.ts";
import { readCda } from "../formats/cda.ts";
import { maxDepth } from "../formats/cda-markup.ts";
import { textsAt, viewOf } from "../formats/cda-view.ts";
import { readMsh } from "../formats/hl7.ts";
import { edited, valuesOf } from "../formats/hl7-edit.ts";
import { channelSchemas } from "../pipeline/config-channels.ts";
import { takesDocument, takesFields } from "../pipeline/filter-rules.ts";
import { exchanges } from "./exchanges.ts";
import { cda, chen, mdmFor } from "./fixtures/documents.ts";
import { fixtures } from "./peers.ts";

const { available, path: folder, reason } = fixtures("cda");
const bytes = cda({
  form: "113",
  extension: "F.1",
  patient: chen,
  code: "1-8",
  display: "d",
  title: "A &amp; B",
  body: "b",
});
const message = mdmFor(bytes, { controlId: "F1" });
const facts = readMsh(message);
const filterOf = (rules: object) => channelSchemas.outbound.shape.filter.parse({ documents: ["other"], ...rules });

describe("fields of a message", () => {
  const text = "MSH|^~\\&|HIS|A^1|E|A|20260102||ADT^A01|7|P|2.5.1\rPID|1||1^^^X&1.2&ISO~2^^^Y||A\\T\\B^C\rPV1|1|I\r";
  const adt = Buffer.from(text);
  const msh = readMsh(adt);
  test.each<[string, readonly string[]]>([
    ["MSH-3", ["HIS"]],
    ["MSH-4.2", ["1"]],
    ["MSH-9.2", ["A01"]],
    ["PID-3.1", ["1", "2"]],
    ["PID-3.4.2", ["1.2"]],
    ["PID-5.1", ["A&B"]],
    ["PV1-2", ["I"]],
    ["PV1-44", []],
    ["ZZZ-1", []],
  ])("%s is %j", (field, values) => {
    expect(valuesOf(adt, msh, field)).toEqual(values);
  });
  test("what is written is escaped, everything else stays", () => {
    const result = edited(adt, msh, [
      { field: "PV1-3.2", to: "a|b^c\rd" },
      { field: "PID-3.4", to: "Z" },
    ]);
    expect(Buffer.from(result).toString("utf8")).toBe(
      text.replace("PV1|1|I", "PV1|1|I|^a\\F\\b\\S\\c\\X0D\\d").replace("X&1.2&ISO", "Z").replace("^^^Y", "^^^Z"),
    );
    expect(valuesOf(result, msh, "PV1-3.2")).toEqual(["a|b^c\rd"]);
  });
  test.each(["MSH-10", "MSH-9.1", "MSH-2", "ZZZ-1", "PID", "PID-0"])("%s cannot be written", (field) => {
    expect(() => edited(adt, msh, [{ field, to: "x" }])).toThrow(expect.objectContaining({ code: "TRANSFORM_FAILED" }));
  });
});

describe("rules", () => {
  test.each([
    ["keep what is there", { keep: [{ field: "MSH-9.2", is: ["T02"] }] }, true],
    ["keep what is not", { keep: [{ field: "MSH-9.2", is: ["T06"] }] }, false],
    ["drop what is there", { drop: [{ field: "MSH-9.2", is: ["T06", "T02"] }] }, false],
    ["drop what is not", { drop: [{ field: "ZZZ-1", is: ["x"] }] }, true],
    ["an empty text stands for nothing", { drop: [{ field: "ZZZ-1", is: [""] }] }, false],
  ])("message: %s", (_what, rules, isTaken) => {
    expect(takesFields(filterOf(rules), message, facts)).toBe(isTaken);
    expect(takesDocument(filterOf(rules), bytes, readCda(bytes))).toBe(true);
  });
  const code = "code.@code";
  test.each([
    ["keep what is there", { keep: [{ document: code, is: ["1-8"] }] }, true],
    ["keep what is not", { keep: [{ document: code, is: ["2-6"] }] }, false],
    [
      "drop one of several ids",
      { drop: [{ document: "recordTarget.patientRole.id.@extension", is: [chen.chart] }] },
      false,
    ],
    ["drop what is not", { drop: [{ document: "setId.@root", is: ["1"] }] }, true],
    ["a name of JavaScript is no path", { drop: [{ document: "constructor.name", is: ["Object"] }] }, true],
    ["confidentiality that may leave", { confidentiality: ["N"] }, true],
    ["confidentiality that may not", { confidentiality: ["R", "V"] }, false],
  ])("document: %s", (_what, rules, isTaken) => {
    expect(takesDocument(filterOf(rules), bytes, readCda(bytes))).toBe(isTaken);
    expect(takesFields(filterOf(rules), message, facts)).toBe(true);
  });
  const having = (markup: string): Buffer =>
    Buffer.from(Buffer.from(bytes).toString("utf8").replace("<recordTarget", `${markup}$&`));
  const kept = { keep: [{ document: code, is: ["1-8"] }] };
  test("a document may be nested as deep as one is read", () => {
    const deep = having(`${"<informant>".repeat(250)}${"</informant>".repeat(250)}`);
    expect(takesDocument(filterOf(kept), deep, readCda(deep))).toBe(true);
  });
  test.each(["constructor", "prototype", "__proto__"])("an element <%s> is a fault of the document", (name) => {
    const odd = having(`<${name}/>`);
    expect(() => takesDocument(filterOf(kept), odd, readCda(odd))).toThrow(
      expect.objectContaining({ code: "CDA_INVALID" }),
    );
  });
  const text = Buffer.from(bytes).toString("utf8");
  test.each<[string, string, object, boolean]>([
    [
      "an element of another namespace",
      text.replace("<recordTarget", '<x:code xmlns:x="urn:x" code="2-6"/>$&'),
      { keep: [{ document: code, is: ["2-6"] }] },
      false,
    ],
    [
      "an element that declares its own",
      text.replace("<recordTarget", '<languageCode xmlns="urn:x" code="en"/>$&'),
      { keep: [{ document: "languageCode.@code", is: ["en"] }] },
      false,
    ],
    [
      "an attribute of another namespace",
      text.replace('<confidentialityCode code="N"', '$& x:code="V" xmlns:x="urn:x"'),
      { drop: [{ document: "confidentialityCode.@code", is: ["N"] }] },
      false,
    ],
    [
      "a document of another namespace beside the one that is sealed",
      text.replace(
        "<ClinicalDocument",
        '<x:ClinicalDocument xmlns:x="urn:x"><x:code code="2-6"/></x:ClinicalDocument>$&',
      ),
      kept,
      true,
    ],
    [
      "CDA's own names with a prefix",
      text.replace("<recordTarget", '<c:author xmlns:c="urn:hl7-org:v3"><c:time value="7"/></c:author>$&'),
      { keep: [{ document: "author.time.@value", is: ["7"] }] },
      true,
    ],
    [
      "an extension, whatever its prefix",
      text.replace("<recordTarget", '<s:category xmlns:s="urn:hl7-org:sdtc" code="k"/>$&'),
      { keep: [{ document: "sdtc:category.@code", is: ["k"] }] },
      true,
    ],
  ])("%s is what it is", (_what, markup, rules, isTaken) => {
    const odd = Buffer.from(markup);
    expect(takesDocument(filterOf(rules), odd, readCda(odd))).toBe(isTaken);
  });
  test("a namespace that is written with references is a fault of the document", () => {
    const odd = having('<x:code xmlns:x="urn:hl7-org:v&#51;" code="2-6"/>');
    expect(() => takesDocument(filterOf(kept), odd, readCda(odd))).toThrow(
      expect.objectContaining({ code: "CDA_INVALID" }),
    );
  });
  test("what is dropped may be the last of thousands of values", () => {
    const orders = Array.from({ length: 3_000 }, (_, n) => `<informant><id extension="${n}"/></informant>`).join("");
    const long = having(orders);
    const drop = [{ document: "informant.id.@extension", is: ["2999"] }];
    expect(takesDocument(filterOf({ drop }), long, readCda(long))).toBe(false);
  });
  test.each([{ field: "PV1-2", document: "code", is: ["x"] }, { is: ["x"] }, { field: "PV1.2", is: ["x"] }])(
    "%j is no rule",
    (rule) => {
      expect(() => filterOf({ keep: [rule] })).toThrow();
    },
  );
});

describe.skipIf(!available)(`the JSON view ${reason}`, () => {
  test("is the same in every encoding, packaged or not; nothing is guessed and no entity resolved", () => {
    const read = (name: string) => viewOf(readFileSync(join(folder, name)));
    const view = read("tw-ToFHIRLab_1.xml");
    for (const name of [
      "enc-tw-big5.xml",
      "enc-tw-utf16be-bom.xml",
      "enc-tw-utf16le-bom.xml",
      "enc-tw-utf8-bom-crlf.xml",
    ])
      for (const path of ["title", "code.@code", "recordTarget.patientRole.patient.name", "effectiveTime.@value"])
        expect(textsAt(read(name), path), `${name} ${path}`).toEqual(textsAt(view, path));
    expect(textsAt(view, "recordTarget.patientRole.id.@extension")).toEqual(["501"]);
    expect(textsAt(viewOf(bytes), "title")).toEqual(["A &amp; B"]);
    expect(textsAt(read("tw-ToFHIRLab_0.xml"), "author.assignedAuthor.assignedPerson.name")).toEqual([
      "簡季施",
      "石季施",
    ]);
  });
});

describe("at a house", () => {
  const open = exchanges();
  test.each([
    ['drop: [{ field: MSH-3, is: ["HIS"] }]', "filtered"],
    ["confidentiality: [R]", "filtered"],
    ["confidentiality: [N]", "done"],
    ["keep: [{ document: languageCode.@code, is: [zh-TW] }]", "done"],
  ])("%s: %s", async (rules, state) => {
    const from = "documents: [113, 114, 115, 121, other], processingId: P";
    const exchange = await open({}, (yaml) => yaml.replace(from, `${from}, ${rules}`));
    expect(await exchange.message(message)).toMatchObject({ state: "delivered" });
    const { arrivals } = await exchange.admin("hospital-a").get<Traced>("/trace/F1");
    expect(arrivals[0]).toMatchObject({ state, code: state === "done" ? null : "NO_CHANNEL" });
  });
});

test("a document as deeply nested as is taken is read", async () => {
  const depth = maxDepth - 1;
  const deep = Buffer.from(
    `<ClinicalDocument xmlns="urn:hl7-org:v3">${"<a>".repeat(depth)}${"</a>".repeat(depth)}<b c="d"/></ClinicalDocument>`,
  );
  expect(textsAt(viewOf(deep), "b.@c")).toEqual(["d"]);
});

test("a path that names ClinicalDocument itself, which no document has within it, is told", () => {
  const rule = (document: string): object => ({ drop: [{ document, is: ["R"] }] });
  for (const path of ["ClinicalDocument.confidentialityCode.@code", "ClinicalDocument"])
    expect(() => filterOf(rule(path))).toThrow(/begins within ClinicalDocument/);
  expect(filterOf(rule("confidentialityCode.@code"))).toMatchObject(rule("confidentialityCode.@code"));
});
