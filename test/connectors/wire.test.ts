/** TLS on MLLP and DICOM: both sides show certificates, and nobody without the right one gets through. */
import { mkdtempSync, readFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import { initPki } from "../../commands/pki/index.ts";
import type { Deliver, Item, Outcome } from "../../connectors/connector.ts";
import { dicomSource } from "../../connectors/dicom/scp.ts";
import { dicomDestination, echo } from "../../connectors/dicom/scu.ts";
import { mllpDestination, mllpSource } from "../../connectors/mllp/index.ts";
import type { Tls } from "../../connectors/wire.ts";

const said: { readonly event: string; readonly peer?: string; readonly reason?: string }[] = [];
const context = {
  log: (event: string, fields: object = {}) => void said.push({ event, ...fields }),
  signal: new AbortController().signal,
};
const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

let ours: Record<"a" | "b" | "foreign" | "expired", NonNullable<Tls>>;
beforeAll(async () => {
  const make = async (sites: readonly string[], now = new Date()): Promise<string> => {
    const folder = mkdtempSync(join(tmpdir(), "semrs-wire-"));
    await initPki(folder, sites, { now });
    return folder;
  };
  const [one, other, old] = [await make(["a", "b"]), await make(["a"]), await make(["a"], new Date("2015-01-01"))];
  const tls = (folder: string, site: string): NonNullable<Tls> => {
    const text = (name: string) => readFileSync(join(folder, name), "utf8");
    return {
      key: text(`${site}/tls.key`),
      certificate: text(`${site}/tls.crt`),
      ca: text("ca.crt"),
      clientCertificate: "require",
    };
  };
  ours = { a: tls(one, "a"), b: tls(one, "b"), foreign: tls(other, "a"), expired: tls(old, "a") };
});

const accept: Deliver = async ({ body }) => {
  for await (const _ of body);
  return { duplicate: false, answer: Promise.resolve({ accepted: true }) };
};
const portOf = (address: string): number => Number(address.slice(address.lastIndexOf(":") + 1));
const message = Buffer.from("MSH|^~\\&|HIS|A|SEMRS|A|20260102030405||ADT^A01|C1|P|2.5.1\rPID|1||P1\r");

async function sent(port: number, tls?: Tls, host = "127.0.0.1"): Promise<Outcome | undefined> {
  let outcome: Outcome | undefined;
  const item: Item = { controlId: "C1", size: message.length, body: () => one(message) };
  const options = mllpDestination.options.parse({ host, port, tls, responseSeconds: 2 });
  await mllpDestination.send(options, one(item), (_item, is) => (outcome = is), context);
  return outcome;
}

async function* one<T>(value: T): AsyncGenerator<T> {
  yield value;
}

describe.each(["require", "none"] as const)("MLLP with TLS, client certificate %s", (clientCertificate) => {
  const listening = async (): Promise<number> => {
    const source = await mllpSource.listen(
      mllpSource.options.parse({ port: 0, tls: { ...ours.a, clientCertificate } }),
      accept,
      context,
    );
    stops.push(() => source.stop());
    return portOf(source.address);
  };
  test("a message is acknowledged", async () => {
    expect(await sent(await listening(), ours.b)).toMatchObject({ state: "delivered", detail: "AA" });
  });
  test("one that trusts another authority does not send", async () => {
    await expect(sent(await listening(), ours.foreign)).rejects.toMatchObject({ code: "CERTIFICATE_INVALID" });
  });
  test("one without TLS gets no answer", async () => {
    const clear = sent(await listening()).then(
      (outcome) => outcome?.state,
      (thrown: { code: string }) => thrown.code,
    );
    expect(["ambiguous", "PEER_UNREACHABLE"]).toContain(await clear);
  });
});

test.each([
  ["foreign", "is of another authority", /UNABLE_TO_VERIFY|SELF_SIGNED/],
  ["expired", "has expired", /CERT_HAS_EXPIRED/],
] as const)(
  "a caller whose certificate (%s) %s is refused; its address and why are said in the log",
  async (who, _is, why) => {
    const ca = `${ours.a.ca}${ours.expired.ca}`;
    const source = await mllpSource.listen(
      mllpSource.options.parse({ port: 0, tls: { ...ours.a, ca } }),
      accept,
      context,
    );
    stops.push(() => source.stop());
    said.length = 0;
    const stranger = { ...ours[who], ca: ours.a.ca };
    const outcome = await sent(portOf(source.address), stranger).catch((thrown: { code: string }) => ({
      state: thrown.code,
    }));
    expect(outcome?.state).not.toBe("delivered");
    expect(said).toContainEqual({
      event: "tls.refused",
      peer: expect.stringMatching(/^127\.0\.0\.1:\d+$/),
      code: "CERTIFICATE_INVALID",
      reason: expect.stringMatching(why),
    });
  },
);

test("C-ECHO over TLS with both certificates; without one the association does not come about", async () => {
  const source = await dicomSource.listen(
    dicomSource.options.parse({ port: 0, aeTitle: "SEMRS_A", tls: ours.a }),
    accept,
    context,
  );
  stops.push(() => source.stop());
  const settings = (tls: Tls) =>
    dicomDestination.options.parse({
      host: "localhost",
      port: portOf(source.address),
      callingAeTitle: "PACS_A",
      calledAeTitle: "SEMRS_A",
      connectSeconds: 2,
      tls,
    });
  await echo(settings(ours.b), context);
  await expect(echo(settings({ ...ours.foreign, ca: ours.a.ca }), context)).rejects.toMatchObject({
    code: expect.stringMatching(/PEER_UNREACHABLE|CERTIFICATE_INVALID/),
  });
  await expect(echo(settings(undefined), context)).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
});

test.each([
  ["b tls", true],
  ["localhost", true],
  ["a tls", false],
  ["b", true],
  ["other.example", false],
])("a caller may be known by its certificate: subject %s is b's: %s", async (subject, isWelcome) => {
  const source = await dicomSource.listen(
    dicomSource.options.parse({ port: 0, aeTitle: "SEMRS_A", tls: ours.a, callers: [{ aeTitle: "PACS_A", subject }] }),
    accept,
    context,
  );
  stops.push(() => source.stop());
  const settings = dicomDestination.options.parse({
    host: "localhost",
    port: portOf(source.address),
    callingAeTitle: "PACS_A",
    calledAeTitle: "SEMRS_A",
    tls: ours.b,
  });
  const outcome = await echo(settings, context).then(
    () => "welcome",
    (thrown: { code: string }) => thrown.code,
  );
  expect(outcome).toBe(isWelcome ? "welcome" : "AE_TITLE_UNKNOWN");
});
