/** Fields that a test of channels.yaml sets in a message: in files as editors and HIS have written them. */
import { expect, test } from "vitest";
import { setFields } from "../../commands/test/fields.ts";

test.each(["\r", "\n", "\r\n"])("segments that end with %j keep their ends, and the field is set in its own", (end) => {
  const message = (...segments: readonly string[]): string => `${segments.join(end)}${end}`;
  const before = message("MSH|^~\\&|HIS|A|E|A|2026||ADT^A01|1|P|2.5.1", "EVN|A01", "PID|1||A1^^^MOI");
  const set = setFields(Buffer.from(before), { "PID-3": "B2^^^MOI", "MSH-18": "BIG-5", "PID-5": "陳" });
  expect(Buffer.from(set).toString()).toBe(
    message("MSH|^~\\&|HIS|A|E|A|2026||ADT^A01|1|P|2.5.1||||||BIG-5", "EVN|A01", "PID|1||B2^^^MOI||陳"),
  );
});

test("a segment that is not there is told", () => {
  expect(() => setFields(Buffer.from("MSH|^~\\&|HIS\nEVN|A01\n"), { "PID-3": "x" })).toThrow(
    "PID-3: the message has no PID",
  );
});
