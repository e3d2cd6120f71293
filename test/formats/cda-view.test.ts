/** The JSON view says of attributes and text what the document says. */
import { describe, expect, test } from "vitest";
import { textsAt, viewOf } from "../../formats/cda-view.ts";

const view = (inner: string) =>
  viewOf(Buffer.from(`<ClinicalDocument xmlns="urn:hl7-org:v3">${inner}</ClinicalDocument>`));

describe("an attribute", () => {
  test.each([
    ["has the spaces that it has", '<id root=" 1.2 "/>', " 1.2 "],
    ["that spaces alone are in is not empty", '<id root="  "/>', "  "],
    ["has a space where a line ends in it", '<id root="a\r\nb\tc\nd"/>', "a b c d"],
  ])("%s", (_what, inner, value) => {
    expect(textsAt(view(inner), "id.@root")).toEqual([value]);
  });
  test.each([" urn:hl7-org:v3", "urn:hl7-org:v3 ", "\nurn:hl7-org:v3"])(
    "that declares %j makes no names of CDA",
    (namespace) => {
      const seen = view(
        `<x:code xmlns:x="${namespace}" code="N"/><code xmlns="${namespace}" code="N"/><code code="R"/>`,
      );
      expect(textsAt(seen, "code.@code")).toEqual(["R"]);
    },
  );
});

test("text is without the space around it, and space between elements is none", () => {
  const seen = view("\n  <title>\n  Report\n  </title>\n  <x/>\n  <text> a <br/> b </text>\n");
  expect(seen).toEqual({ title: "Report", x: "", text: { br: "", "#text": "ab" } });
});
