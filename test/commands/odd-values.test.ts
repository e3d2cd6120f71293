/** Values that nobody means, such as the unset variables of a script: each is told in one line, as a wrong use, and soon. */
import { mkdtempSync, readdirSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { semrs } from "./cli.ts";

const there = ["--admin", "http://127.0.0.1:1", "--data", "."];
const sealing = ["--sender", "x", "--to", "x", "--document", "x"];

test.each([
  [["pki", "init", "pki", "--site", "a", "--days", "99999999"], /write days, 36500 at most/],
  [["pki", "crl", "pki", "--days", "999999999999"], /write days, 36500 at most/],
  [["pki", "init", "", "--site", "a"], /^semrs pki init: an empty name is not there/],
  [["seal", "--message-type", "", ...sealing], /write an EEC form or a LOINC code/],
  [["seal", "--message-type", "a b", ...sealing], /write an EEC form or a LOINC code/],
  [
    ["send", "mllp", "--to", "127.0.0.1:1", "--report", "", "/dev/null"],
    /^semrs send mllp: an empty name is not there/,
  ],
  [["send", "mllp", "--to", "127.0.0.1:1", "--resend", ""], /^semrs send mllp: {2}cannot be read/],
  [
    ["erase", "--patient-file", "/dev/zero", "--reason", "x", ...there],
    /^semrs erase: \/dev\/zero is over 65536 octets/,
  ],
  [["journal", "trace", "", ...there], /^semrs journal trace: an empty name or id was given/],
  [["journal", "resend", "", "--reason", "x", ...there], /^semrs journal resend: name one by its id/],
  [["evidence", "export", "", ...there], /^semrs evidence export: an empty name or id was given/],
  [["pause", "", "--reason", "x", ...there], /^semrs pause: an empty name or id was given/],
])("%j", async (args, says) => {
  const cwd = mkdtempSync(join(tmpdir(), "semrs-odd-"));
  const { exit, err } = await semrs(args, { cwd });
  expect({ exit, err }).toEqual({ exit: 64, err: expect.stringMatching(says) });
  expect(err.trimEnd().split("\n").length).toBe(1);
  expect(readdirSync(cwd)).toEqual([]);
});
