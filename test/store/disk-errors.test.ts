/** What a disk's error means: no room is waited out, a failure ends the house, anything else is a defect. */
import { expect, test } from "vitest";
import { hasFailed, isFull, isUnreadable } from "../../store/disk-errors.ts";

test.each([
  [{ code: "ENOSPC" }, "full"],
  [{ code: "EDQUOT" }, "full"],
  [{ code: "ERR_SQLITE_ERROR", errcode: 13 }, "full"],
  [{ code: "EIO" }, "failed"],
  [{ code: "EROFS" }, "failed"],
  [{ code: "EUCLEAN" }, "failed"],
  [{ code: "ESTALE" }, "failed"],
  [{ code: "ENODEV" }, "failed"],
  [{ code: "ERR_SQLITE_ERROR", errcode: 266 }, "unreadable"],
  [{ code: "ERR_SQLITE_ERROR", errcode: 19 }, ""],
  [{ code: "EMFILE" }, ""],
])("%o: %s", (facts, expected) => {
  const thrown = Object.assign(new Error("of the disk"), facts);
  const meant = { full: isFull(thrown), failed: hasFailed(thrown), unreadable: isUnreadable(thrown) };
  expect(
    Object.entries(meant)
      .filter(([, holds]) => holds)
      .map(([name]) => name)
      .join(),
  ).toBe(expected);
});
