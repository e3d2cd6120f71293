/** What is refused before any cryptography: MIME and profile. */
import { describe, expect, test } from "vitest";
import { forge } from "./forge.ts";
import { added, bodyText, changed, check, openAll, without } from "./refusals.ts";
import { mebibyte, octets } from "./samples.ts";

test("control: a forged envelope with nothing wrong is opened", async () => {
  expect(await openAll(await forge({}))).toBe(2);
  expect(await openAll(await forge({ sizes: [mebibyte, 3 * mebibyte + 7] }))).toBe(3);
});

describe("MIME", () => {
  check(
    {
      "1 a boundary inside a part's octets": {
        frame: (n, octets) =>
          n === 1 ? Buffer.concat([octets, Buffer.from("\r\n--forged-0123456789\r\n"), octets]) : octets,
      },
      "2 a second boundary parameter": changed("Content-Type", (value) => `${value}; boundary="other"`),
      "2 a boundary without quotes": changed("Content-Type", (value) => value.replaceAll('"', "")),
      "3 an X-EEC header twice": added("x-eec-sender", "v2.AAAA"),
      "3 X-SEMRS-Id twice": added("X-SEMRS-Id", "0".repeat(32)),
      "3 Content-Type twice": added("Content-Type", "multipart/mixed"),
      "4 one of nine missing": without("X-EEC-DistAlg"),
      "4 no MIME-Version": without("MIME-Version"),
      "5 a tenth": added("X-EEC-Extra", "v2.AAAA"),
      "5 a header of ours that is none": added("X-SEMRS-Message", "0".repeat(32)),
      "6 a folded header": changed("X-EEC-Sender", (value) => `${value.slice(0, 20)}\r\n ${value.slice(20)}`),
      "6 NUL in a header": changed("X-EEC-Sender", (value) => `${value}\0`),
      "6 a bare LF in a header": added("X-Other", "one\ntwo"),
      "6 bare LF between part headers": bodyText((text) => text.replace("\r\nContent-Transfer", "\nContent-Transfer")),
      "6 a bare LF at the end of a part header": bodyText((text) => text.replace("binary\r\n", "binary\n\r\n")),
      "6 a bare CR and a no-break space around a part header's value": bodyText((text) =>
        text.replace("Content-Type: app", "Content-Type:\r\u00a0app"),
      ),
      "6 a folded part header": bodyText((text) => text.replace("; smime-type", ";\r\n smime-type")),
      "7 a value over 8 KiB": changed("X-EEC-Sender", (value) => value + "A".repeat(8192)),
      "8 a header block over 64 KiB": {
        headers: (headers) => [
          ...headers,
          ...Array.from({ length: 9 }, (_, n): [string, string] => [`X-Other-${n}`, "x".repeat(8000)]),
        ],
      },
      "9 a preamble": bodyText((text) => `preamble\r\n${text}`),
      "9 an epilogue with a part": bodyText((text, boundary) => `${text}--${boundary}\r\n\r\nmore`),
      "9 one octet after the end": bodyText((text) => `${text}\n`),
      "10 no closing boundary": bodyText((text, boundary) => text.slice(0, text.lastIndexOf(`\r\n--${boundary}--`))),
      "10 a closing boundary that is cut short": bodyText((text) => text.slice(0, -2)),
      "11 a nested multipart": bodyText((text) =>
        text.replace("application/pkcs7-mime; smime-type=authEnveloped-data", 'multipart/mixed; boundary="inner"'),
      ),
      "12 three parts": { frames: (frames) => frames.slice(0, 3) },
      "14 a body that ends in mid-part": bodyText((text) => text.slice(0, text.length - 200)),
      "14 an empty body": bodyText(() => ""),
      "15 base64 that is not canonical": bodyText((text) => text.replace("binary\r\n\r\n", "base64\r\n\r\n")),
      "16 quoted-printable": bodyText((text) => text.replace("binary", "quoted-printable")),
      "16 a third part header": bodyText((text) => text.replace("binary", "binary\r\nContent-Disposition: attachment")),
      "16 a part header twice": bodyText((text) =>
        text.replace(
          "Content-Type: application/pkcs7-mime; smime-type=authEnveloped-data",
          "Content-Transfer-Encoding: binary",
        ),
      ),
      "16 no part headers": bodyText((text) => text.replace(/Content-Type[\s\S]*?\r\n\r\n/, "\r\n")),
      "16 part headers without end": bodyText((text) => text.replace("binary\r\n\r\n", `binary${" ".repeat(4000)}`)),
    },
    "ENVELOPE_MALFORMED",
    /^(MIME|headers): /,
  );

  test("12 more parts, or fewer, than were signed are noticed before the end", async () => {
    const more = await forge({ frames: (frames) => [...frames, frames[4] ?? octets(1)] });
    const fewer = await forge({ frames: (frames) => frames.slice(0, 4) });
    for (const forged of [more, fewer])
      await expect(openAll(forged)).rejects.toMatchObject({ code: "ENVELOPE_NOT_OPENED" });
  });
});

describe("profile", () => {
  check(
    {
      "18 the profile header stripped": without("X-SEMRS-Profile"),
      "20 an unknown profile": changed("X-SEMRS-Profile", () => "semrs-3"),
      "20 two profiles": added("X-SEMRS-Profile", "semrs-2"),
      "21 semrs-2 inside smime-4": changed(
        "Content-Type",
        () => "application/pkcs7-mime; smime-type=authEnveloped-data",
      ),
      "22 the manifest names another profile": {
        manifest: (manifest) => ({ ...manifest, profile: "semrs-2017" }),
        code: "ENVELOPE_NOT_OPENED",
        cause: /^manifest: not valid at profile/,
      },
      "19 a partner that has not agreed on semrs-2": {
        opening: { partner: () => ({ org: "hospital-a", profiles: ["semrs-2017"] }) },
        code: "ENVELOPE_NOT_OPENED",
        cause: /not configured for semrs-2/,
      },
    },
    "ENVELOPE_UNSUPPORTED",
    /^no envelope profile/,
  );
});
