/** What is done to a registry and a repository, sentence by sentence, each with the test that does it over the wire. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { xdsCodes } from "../../commands/reference/xds.ts";

const sentences: Readonly<Record<string, readonly (readonly [file: string, name: string])[]>> = {
  "a replay": [
    ["exchange/repeated.test.ts", "78 a question is answered once"],
    ["exchange/repeated.test.ts", "78 the same headers with other octets"],
    ["exchange/attacks.test.ts", "replayed: by the sender it changes nothing"],
  ],
  "an answer that is lost behind the commit": [
    ["exchange/lost-answers.test.ts", "an answer that is lost behind the commit"],
    ["exchange/message-status.test.ts", "an outbox that lost the answer to a push asks first"],
  ],
  "two registrations with one message id": [
    ["exchange/lost-answers.test.ts", "two registrations under one message id"],
    ["exchange/repeated.test.ts", "93 the same message sealed anew"],
  ],
  "an answer to another request": [
    ["exchange/bad-retrievals.test.ts", "swapped: two answers of hospital A"],
    ["exchange/imposter.test.ts", "92 an answer of the right house"],
  ],
  "a query with an unknown field": [["exchange/registry.test.ts", "an unknown field, a forged cursor"]],
  "a forged cursor": [["exchange/registry.test.ts", "an unknown field, a forged cursor"]],
  "a cursor of another house": [["exchange/registry.test.ts", "and another house's cursor are refused"]],
  "a document of somebody else's repository": [
    ["exchange/refusals.test.ts", "89 a house registers what its own repository holds"],
    ["exchange/registry.test.ts", "201 entries, one document twice, and one of another's"],
  ],
  "a change without authority": [
    ["exchange/refusals.test.ts", "90 an entry is deprecated by who registered it"],
    ["exchange/refusals.test.ts", "90 an entry is removed by who registered it"],
  ],
  "a merge without authority": [["merges.test.ts", "who does not give the ids is refused by the registry"]],
  "a sender that is not admitted for its TLS certificate": [
    ["exchange/framing.test.ts", "a TLS certificate of the same authority that no partner has"],
    ["exchange/refusals.test.ts", "signed by hospital A but sent over the registry's connection"],
  ],
  "a request that has expired": [["exchange/refusals.test.ts", "79 an envelope that has expired"]],
  "25,001 parts": [["exchange/framing.test.ts", "in the manifest, which is signed as it should be"]],
  "a Content-Length that is too short": [["exchange/framing.test.ts", "shorter than the envelope"]],
  "a Content-Length that is too long": [["exchange/framing.test.ts", "longer than the envelope"]],
  "a slow body": [["exchange/pace.test.ts", "17 an envelope that stops"]],
  "a registry that is down": [
    ["faults/down.test.ts", "the registry for as long as it takes"],
    ["exchange/bad-answers.test.ts", "none of its answers is a receipt"],
  ],
  "a registry that was restored from yesterday's backup": [
    ["exchange/restored.test.ts", "the next answer shows a log that has become shorter"],
    ["exchange/restored.test.ts", "a log that has grown beyond what it was"],
  ],
  "a partner that never answers": [
    ["exchange/lost-answers.test.ts", "a partner that takes everything and never answers"],
  ],
  "half bodies, a wrong content type, 5xx, redirects": [
    ["exchange/bad-answers.test.ts", "none of its answers is a receipt"],
    ["exchange/bad-retrievals.test.ts", "that is answered with"],
  ],
  "the attack: parts are swapped": [["exchange/attacks.test.ts", "swapped parts: the document"]],
  "the attack: forwarded to a third house": [["exchange/attacks.test.ts", "forwarded: what hospital A signed"]],
  "the attack: answers are swapped": [["exchange/bad-retrievals.test.ts", "swapped: two answers of hospital A"]],
  "the attack: the origin is stripped": [["exchange/attacks.test.ts", "stripped: an answer without its origin"]],
  "the attack: replayed": [["exchange/attacks.test.ts", "replayed: by the sender it changes nothing"]],
  "the attack: downgraded": [["exchange/attacks.test.ts", "downgraded: %s"]],
  "the attack: spliced": [["exchange/attacks.test.ts", "spliced: an image of another envelope"]],
  "pages of one moment": [["exchange/pages.test.ts", "expect(union(found)).toEqual(whole)"]],
};

test("whatever a registry or a repository refuses in its own words has an XDS code", () => {
  const folder = join(import.meta.dirname, "../../exchange");
  const inside =
    /^(CERTIFICATE_INVALID|CONFIG_INVALID|ENVELOPE_(MALFORMED|NOT_OPENED|UNSUPPORTED)|PEER_UNREACHABLE|STORE_DAMAGED)$/;
  const refused = readdirSync(folder).flatMap((file) =>
    [...readFileSync(join(folder, file), "utf8").matchAll(/new Fault\(\s*"([A-Z_]+)"/g)].map(([, code = ""]) => code),
  );
  expect(refused.length).toBeGreaterThan(15);
  expect([...new Set(refused)].filter((code) => !inside.test(code) && !(code in xdsCodes))).toEqual([]);
});

test.each(Object.entries(sentences))("%s", (_sentence, shown) => {
  for (const [file, name] of shown) {
    const text = readFileSync(join(import.meta.dirname, "..", file), "utf8");
    const named = text.split("\n").some((line) => line.includes(name));
    expect(named, `${file}: ${name}`).toBe(true);
  }
});
