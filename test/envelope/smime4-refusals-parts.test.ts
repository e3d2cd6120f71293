import { describe } from "vitest";
import { wrapFor } from "../../envelope/recipient.ts";
import { b, c, dayMs, later } from "./parties.ts";
import { sha256 } from "./samples.ts";
import { withValue } from "./smime4-forge.ts";
import { check, signedHeaders, text, twice, valued, without } from "./smime4-refusing.ts";

describe("signed headers", () => {
  check(
    {
      ...Object.fromEntries(signedHeaders.map((name) => [`4 no ${name}`, without(name)])),
      ...Object.fromEntries(signedHeaders.map((name) => [`3 two of ${name}`, twice(name)])),
      ...Object.fromEntries(signedHeaders.map((name) => [`an empty ${name}`, { ...valued(name, ""), cause: /./ }])),
      "5 a tenth": { head: (head) => `X-EEC-Other: 1\r\n${head}` },
      "6 a folded one": { head: (head) => head.replace("X-EEC-Sender: ", "X-EEC-Sender:\r\n ") },
      "6 a bare LF": { head: (head) => head.replace("\r\n", "\n") },
      "6 a NUL": valued("X-EEC-MessageType", "1\0"),
      "7 a value over 8 KiB": valued("X-EEC-MessageType", "x".repeat(9000)),
      "8 headers over 64 KiB": {
        head: (head) => `${"X-Other: 1\r\n".repeat(7000)}${head}`,
        cause: /^MIME: headers over/,
      },
      "2 two boundaries": { head: (head) => `${head}; boundary=other`.replace(/(; boundary="[^"]*")/, "$1$1") },
      "21 semrs-2 inside": { head: (head) => `X-SEMRS-Profile: semrs-2\r\n${head}` },
      "a multipart that is encoded": valued("Content-Transfer-Encoding", "base64"),
      "another kind of content": valued("Content-Type", "text/xml"),
      "another version of MIME type": valued("Content-Type", "multipart/signed; boundary=x"),
      "an id in upper case": valued("X-SEMRS-Id", "A".repeat(32)),
      "a purpose that there is not": valued("X-SEMRS-Purpose", "steal"),
      "a time that does not exist": valued("X-SEMRS-Created", "2026-02-30T00:00:00Z"),
      "60 more in To than receivers": valued("X-SEMRS-To", `${"0".repeat(64)},${"0".repeat(64)}`),
    },
    /^signed headers: /,
  );
  const ours = sha256(b.unwrapper.certificate);
  check(
    {
      "60 To names another certificate": valued("X-SEMRS-To", sha256(c.unwrapper.certificate)),
      "60 To names us under another's name": valued("X-EEC-Receiver", "hospital-c"),
      "60 To names more than it is sealed for": {
        head: (head) =>
          withValue("X-SEMRS-To", `${ours},${ours}`)(withValue("X-EEC-Receiver", "hospital-b,hospital-c")(head)),
      },
      "51 sealed for another too": {
        recipients: async (infos, cek) => [...infos, await wrapFor(c.unwrapper.certificate, cek)],
      },
      "80 another organisation of ours": { opening: { self: "hospital-c" } },
      "the sender is another": valued("X-EEC-Sender", "hospital-c"),
      "12 more parts than counted": { ...valued("X-EEC-BodypartCnt", "1"), cause: /^parts: 2/ },
      "12 fewer parts than counted": { ...valued("X-EEC-BodypartCnt", "3"), cause: /^parts: 2/ },
      "another cipher": valued("X-EEC-SymmetricAlg", "aes-256-cbc"),
      "another key transport": valued("X-EEC-AsymmetricAlg", "rsaes-oaep-sha256"),
      "another digest": valued("X-EEC-DistAlg", "sha-512"),
      "another signature": valued("X-EEC-SignAlg", "ed25519"),
      "another count of headers": valued("X-EEC-HeaderCnt", "8"),
      "79 expired": { opening: { now: later(2 * dayMs) }, code: "ENVELOPE_EXPIRED" },
      "79 from the future": {
        ...valued("X-SEMRS-Created", "2026-05-04T12:06:00Z"),
        signedAt: later(6 * 60_000),
        code: "ENVELOPE_EXPIRED",
      },
      "a life of eight days": valued("X-SEMRS-Expires", "2026-05-12T12:00:00Z"),
      "88 a purpose that is not taken here": { opening: { purposes: ["query"] }, code: "NOT_PERMITTED" },
      "102 an answer where a request is due": valued("X-SEMRS-In-Reply-To", "0".repeat(32)),
      "over the connection of another": { opening: { peer: "hospital-c" } },
      "78 a second time": { opening: { hasSeen: () => true }, code: "ENVELOPE_REPLAYED" },
    },
    /./,
  );
});

describe("parts", () => {
  const dicom = "Content-Type: application/dicom";
  const inserted = (line: string) => text((entity) => entity.replace(dicom, `${dicom}\r\n${line}`));
  const retyped = (type: string) => text((entity) => entity.replace(dicom, `Content-Type: ${type}`));
  check(
    {
      "9 a preamble": text((entity) => entity.replace("\r\n\r\n--", "\r\n\r\nhello\r\n--")),
      "9 an epilogue": text((entity) => `${entity}--again\r\n`),
      "10 no closing boundary": text((entity) => entity.slice(0, -8)),
      "11 a multipart": retyped("multipart/mixed; boundary=x"),
      "11 a message": retyped("message/rfc822"),
      "21 a part of semrs-2": retyped("application/pkcs7-mime; smime-type=authEnveloped-data"),
      "15 base64 that is none": text((entity) => {
        const at = entity.lastIndexOf("binary");
        return `${entity.slice(0, at)}base64${entity.slice(at + 6)}`;
      }),
      "16 quoted-printable": text((entity) => {
        const at = entity.lastIndexOf("binary");
        return `${entity.slice(0, at)}quoted-printable${entity.slice(at + 6)}`;
      }),
      "a header that does not belong": inserted("X-Other: 1"),
      "a header twice": inserted("Content-Transfer-Encoding: binary"),
      "no media type": retyped("dicom"),
      "no SOP Instance UID": text((entity) => entity.replace(/\r\nX-SEMRS-Sop: [^\r]*/, "")),
      "a SOP Instance UID that is none": text((entity) => entity.replace("X-SEMRS-Sop: 1.2.3.1", "X-SEMRS-Sop: a")),
      "a SOP Instance UID on a document": text((entity) =>
        entity.replace("Content-Type: text/xml", "Content-Type: text/xml\r\nX-SEMRS-Sop: 1"),
      ),
      "headers without an end": text((entity) => entity.replace(dicom, `${dicom}${"x".repeat(2000)}`)),
      "an empty part": text((entity) => entity.replace(/(X-SEMRS-Sop: 1.2.3.1\r\n\r\n)[\s\S]*(\r\n--)/, "$1$2")),
    },
    /^(parts|MIME|a part may)/,
  );
});
