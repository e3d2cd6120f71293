/** Character sets of messages: octets of separators inside characters, and who says which one a message is in. */
import { expect, test } from "vitest";
import { charsetNamed, encodeText } from "../../formats/charset.ts";
import { embeddedDocuments, readMsh } from "../../formats/hl7.ts";
import { documents, mdmFor } from "../fixtures/documents.ts";

/** 功, 葉, 東 and 表 end in the octet of a separator there. */
test.each([
  ["BIG-5", "big5", "功能"],
  ["GB 18030-2000", "gb18030", "東葉"],
  ["GBK", "gbk", "東葉"],
  ["GB2312", "gbk", "東葉"],
  ["SHIFT-JIS", "shift_jis", "表示"],
])(
  "a message in %s gives its document, though OBX-3 has octets of separators inside its characters",
  (field, charset, name) => {
    const whole = Buffer.from(mdmFor(documents["113"], { controlId: "1" })).toString("utf8");
    const text = whole.replace("UNICODE UTF-8", field).replace("DOC^Document^L", `${name}^${name}^L`);
    const { bytes } = encodeText(text, charset);
    const [found] = embeddedDocuments(bytes, readMsh(bytes));
    expect(Buffer.compare(found?.bytes ?? Buffer.alloc(0), documents["113"])).toBe(0);
  },
);

/** 育 ends in the octet of "|" in Big5. */
test.each(["", "1"])(
  "Big5 that nobody names is refused where it hides a document, and never taken for none (OBX-4 %j)",
  (subId) => {
    const named = (name: string): Buffer => {
      const whole = Buffer.from(mdmFor(documents["113"], { controlId: "1" })).toString("utf8");
      const text = whole.replace("UNICODE UTF-8", "").replace("DOC^Document^L|", `${name}^L|${subId}`);
      return Buffer.from(encodeText(text, "big5").bytes);
    };
    const hidden = named("生育史");
    expect(() => embeddedDocuments(hidden, readMsh(hidden))).toThrow(
      /OBX 1: .* not in the character set of its message/,
    );
    for (const found of [
      embeddedDocuments(hidden, readMsh(hidden, { charset: "big5" })),
      embeddedDocuments(named("王"), readMsh(named("王"))),
    ])
      expect(found.map(({ kind }) => kind)).toEqual(["cda"]);
  },
);

test.each([
  ["MS950", "big5"],
  ["CP950", "big5"],
  ["CP936", "gbk"],
  ["CP949", "euc-kr"],
  ["CP932", "shift_jis"],
  ["CP1250", "windows-1250"],
])("%s, as Windows and Java call it, is %s", (name, label) => {
  expect(charsetNamed(name)).toBe(label);
});

test("the charset that a system is configured with counts, whatever MSH-18 says", () => {
  const named = (field: string): Buffer =>
    Buffer.from(`MSH|^~\\&|HIS|A|S|A|20260102||ADT^A08|1|P|2.4||||||${field}\rPID|1||1||王小明\r`);
  for (const field of ["UNICODE", "UNICODE UTF-16", "BIG-5", "", "nonsense"])
    expect(readMsh(named(field), { charset: "utf-8" }), field).toMatchObject({ charset: "utf-8", controlId: "1" });
  expect(readMsh(named("UNICODE UTF8")).charset).toBe("utf-8");
  for (const field of ["UNICODE", "UNICODE UTF-16", "UTF-32"])
    expect(() => readMsh(named(field)), field).toThrow(expect.objectContaining({ code: "HL7_UNSUPPORTED" }));
});

test.each([
  ["BIG-5~ASCII", "big5"],
  ["ASCII~BIG-5", "big5"],
  ["8859/1~ISO IR6", "windows-1252"],
  ["~ISO IR87", "iso-2022-jp"],
  ["ISO IR14~ISO IR87", "iso-2022-jp"],
  ["ASCII", "utf-8"],
])("MSH-18 of several repetitions, %s: ASCII is in all of them, and says nothing", (field, charset) => {
  const msh = Buffer.from(`MSH|^~\\&|HIS|A|S|A|20260102||ADT^A08|1|P|2.4||||||${field}\r`);
  expect(readMsh(msh)).toMatchObject({ charset, charsetField: field });
});
