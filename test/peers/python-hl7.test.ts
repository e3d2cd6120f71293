/** python3-hl7 reads what we write: acknowledgements and messages. */
import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";
import { buildAck, buildBatchAnswer, buildMdm, readBatch, readMsh } from "../../formats/hl7.ts";
import { sampleMessage } from "../fixtures/documents.ts";
import { draft } from "../fixtures/mdm-draft.ts";
import { peer } from "../peers.ts";

const python = peer("python3:hl7");
const parse = (message: Uint8Array, ...fields: readonly string[]): string[] =>
  JSON.parse(
    execFileSync(
      "/usr/bin/python3",
      [
        "-c",
        "import hl7, json, sys\nm = hl7.parse(sys.stdin.buffer.read().decode('utf-8'))\nprint(json.dumps([str(m.extract_field(*(f.split('.')[0], 1, int(f.split('.')[1])))) for f in sys.argv[1:]]))",
        ...fields,
      ],
      { input: Buffer.from(message) },
    ).toString(),
  ) as string[];

test.skipIf(!python.available)(`acknowledgements ${python.reason}`, () => {
  const facts = readMsh(sampleMessage("mdm-t02-116"));
  const ack = buildAck(facts, {
    code: "AE",
    controlId: "OURS",
    now: new Date(),
    errors: [{ code: "102", text: "line | 3" }],
  });
  expect(parse(ack, "MSA.1", "MSA.2", "ERR.3", "MSH.10")).toEqual(["AE", "S116", "102", "OURS"]);
});

test.skipIf(!python.available)(`messages of ours ${python.reason}`, () => {
  const built = buildMdm(draft);
  expect(parse(built, "MSH.10", "PID.5", "PID.8", "OBX.2")).toEqual(["C1", "林志明", "M", "ED"]);
});

test.skipIf(!python.available)(`the answer to a batch ${python.reason}`, () => {
  const { head } = readBatch(Buffer.from("FHS|^~\\&|HIS|A|SEMRS|A|20260102||||F1\rBHS|^~\\&|HIS|A\rBTS|0\rFTS|1\r"));
  const ack = buildAck(readMsh(sampleMessage("mdm-t02-116")), { code: "AA", controlId: "OURS", now: new Date() });
  const answer = buildBatchAnswer(head, [ack, ack], { id: "B7", time: "20260102030405+0000" });
  const script =
    "import hl7, sys\nf = hl7.parse_file(sys.stdin.buffer.read().decode())\nprint(f.header[11][0], f.header[12][0], [str(m.segment('MSA')[1]) for b in f for m in b])";
  const told = execFileSync("/usr/bin/python3", ["-c", script], { input: Buffer.from(answer) }).toString();
  expect(told.trim()).toBe("B7 F1 ['AA', 'AA']");
});
