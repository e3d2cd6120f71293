/** C-STORE as SCU against a PACS that does as the test says: concurrency, resumption, refused contexts, silence, rejections. */
import { afterEach, describe, expect, test } from "vitest";
import type { Outcome } from "../../connectors/connector.ts";
import { type DicomItem, dicomDestination, echo } from "../../connectors/dicom/scu.ts";
import { readHead } from "../../formats/dicom.ts";
import { ctStudy, encapsulatedPdf, mrStudy, multiFrame } from "../fixtures/dicom.ts";
import { dicomItem } from "../fixtures/dicom-item.ts";
import { dataSetSha256 } from "../sites.ts";
import { type Asked, type Script, type ScriptedPacs, scriptedPacs } from "./scripted-pacs.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

async function pacs(script: Script = {}): Promise<ScriptedPacs> {
  const started = await scriptedPacs(script);
  stops.push(() => started.stop());
  return started;
}

const context = { log: () => undefined, signal: new AbortController().signal };
const study = [...ctStudy({ instancesPerSeries: 4 }), ...mrStudy(), ...encapsulatedPdf(), ...multiFrame()];
const uids = study.map(({ sopInstanceUid }) => sopInstanceUid);
const settings = (port: number, change = {}) =>
  dicomDestination.options.parse({
    host: "127.0.0.1",
    port,
    callingAeTitle: "SEMRS_B",
    calledAeTitle: "PACS_B",
    ...change,
  });
async function* items(files: readonly Uint8Array[], chunk: number): AsyncGenerator<DicomItem> {
  for (const bytes of files) yield dicomItem(bytes, chunk);
}
type Sent = { readonly outcomes: Map<string, Outcome>; readonly failed: unknown };
async function send(port: number, change = {}, files = study.map(({ bytes }) => bytes), chunk = 10_007): Promise<Sent> {
  const outcomes = new Map<string, Outcome>();
  const failed = await dicomDestination
    .send(
      settings(port, change),
      items(files, chunk),
      (item, outcome) => outcomes.set(item.controlId, outcome),
      context,
    )
    .then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
  return { outcomes, failed };
}
const deliveredOf = ({ outcomes }: Sent): string[] =>
  [...outcomes].filter(([, { state }]) => state === "delivered").map(([uid]) => uid);
const isStore = ({ field }: Asked): boolean => field === 0x0001;

describe("what is sent", () => {
  test.for([
    [1024, 7],
    [4096, 100_000],
    [4099, 10_007],
    [16_384, 4096],
    [0, 1_000_000],
  ] as const)(
    "fills the peer's P-DATA of %i octets, whatever the pieces of %i that the store gives",
    async ([maxPdu, chunk]) => {
      const { port, stored, pdus } = await pacs({ maxPdu });
      const { failed } = await send(
        port,
        {},
        study.map(({ bytes }) => bytes),
        chunk,
      );
      expect(failed).toBeUndefined();
      expect(new Map(stored)).toEqual(
        new Map(study.map(({ bytes, sopInstanceUid }) => [sopInstanceUid, dataSetSha256(bytes)])),
      );
      if (maxPdu > 0) expect(Math.max(...pdus)).toBeLessThanOrEqual(maxPdu);
      // PS3.8 E.1: each fragment consists of an even number of octets.
      expect([...pdus].filter((length) => length % 2 === 1)).toEqual([]);
      if (maxPdu === 16_384) expect(pdus).toContain(maxPdu);
    },
  );

  test("one presentation context a SOP class and stored transfer syntax, each with that syntax alone", async () => {
    const { port, requests } = await pacs();
    await send(port);
    const wanted = new Set(
      study.map(({ bytes }) => `${readHead(bytes).sopClassUid} ${readHead(bytes).transferSyntaxUid}`),
    );
    const proposed = requests[0]?.contexts.map(
      ({ abstractSyntax, transferSyntaxes }) => `${abstractSyntax} ${transferSyntaxes}`,
    );
    expect(requests).toHaveLength(1);
    expect(new Set(proposed)).toEqual(wanted);
    expect(proposed).toHaveLength(wanted.size);
  });

  test.for([1, 4])(
    "on %i associations a PACS that answers late has as many instances at once",
    async (associations) => {
      let pending = 0;
      let most = 0;
      let release: (() => void)[] = [];
      let open = study.length;
      // It answers only when every association waits for it, or nothing else can come.
      const answer = async (asked: Asked): Promise<number> => {
        if (!isStore(asked)) return 0;
        pending += 1;
        most = Math.max(most, pending);
        const isFull = pending === Math.min(associations, open);
        await new Promise<void>((resolve) => {
          release.push(resolve);
          if (!isFull) return;
          open -= release.length;
          pending = 0;
          for (const go of release) go();
          release = [];
        });
        return 0;
      };
      const { port, requests, stored } = await pacs({ answer });
      const sent = await send(port, { associations });
      expect(sent.failed).toBeUndefined();
      expect(most).toBe(associations);
      expect(requests).toHaveLength(associations);
      expect(stored).toHaveLength(study.length);
    },
  );

  test("a PACS that allows fewer associations than asked for gets all on those it allows", async () => {
    let count = 0;
    const { port, stored } = await pacs({
      reject: () => {
        count += 1;
        return count > 1 ? [2, 3, 2] : undefined;
      },
    });
    expect((await send(port, { associations: 4 })).failed).toBeUndefined();
    expect(stored).toHaveLength(study.length);
  });
});

describe("a context that is not accepted", () => {
  const implicit = "1.2.840.10008.1.2";
  const [ct] = ctStudy({ instancesPerSeries: 1 });
  const { sopClassUid, transferSyntaxUid } = readHead(ct?.bytes ?? new Uint8Array());

  test("is one fault for its whole group, with class, syntax and what the PACS does take; the rest is delivered", async () => {
    const accepts: Script["accepts"] = ({ abstractSyntax, transferSyntaxes }) =>
      abstractSyntax === sopClassUid && transferSyntaxes[0] !== implicit ? 4 : 0;
    const { port, stored, requests } = await pacs({ accepts });
    const { outcomes, failed } = await send(port);
    expect(failed).toBeUndefined();
    const refused = [...outcomes.values()].filter(({ state }) => state === "refused");
    const count = study.filter(({ bytes }) => readHead(bytes).sopClassUid === sopClassUid).length;
    expect(refused).toHaveLength(count);
    expect(stored).toHaveLength(study.length - count);
    const reasons = new Set(refused.map((outcome) => (outcome.state === "refused" ? outcome.reason : "")));
    expect(reasons).toEqual(
      new Set([
        `the PACS does not take SOP class ${sopClassUid} in transfer syntax ${transferSyntaxUid}; it takes of that class ${implicit}`,
      ]),
    );
    // One association for the instances, one to ask what it takes.
    expect(requests).toHaveLength(2);
  });

  test("of a class that the PACS does not know says so without asking more", async () => {
    const { port, requests } = await pacs({
      accepts: ({ abstractSyntax }) => (abstractSyntax === sopClassUid ? 3 : 0),
    });
    const { outcomes } = await send(port, {}, [ct?.bytes ?? new Uint8Array()]);
    expect([...outcomes.values()]).toEqual([
      {
        state: "refused",
        code: "DICOM_UNSUPPORTED",
        reason: expect.stringMatching(/takes that class in none; its administrator/),
      },
    ]);
    expect(requests).toHaveLength(1);
  });
});

describe("an association that is lost", () => {
  test("within an instance: what was answered is delivered, the rest is not reported and is sent on the next, exactly once", async () => {
    let count = 0;
    const { port, stored } = await pacs({
      answer: (asked) => {
        if (!isStore(asked)) return 0;
        count += 1;
        if (count !== 5) return 0;
        asked.socket.destroy();
        return undefined;
      },
    });
    const first = await send(port);
    expect(first.failed).toMatchObject({ code: "PEER_UNREACHABLE" });
    expect(deliveredOf(first)).toEqual(stored.map(([uid]) => uid));
    expect(first.outcomes.size).toBe(5);
    expect([...first.outcomes.values()].at(-1)).toMatchObject({ state: "ambiguous" });
    const left = study.filter(({ sopInstanceUid }) => !deliveredOf(first).includes(sopInstanceUid));
    const second = await send(
      port,
      {},
      left.map(({ bytes }) => bytes),
    );
    expect(second.failed).toBeUndefined();
    expect(stored.map(([uid]) => uid).sort()).toEqual([...uids].sort());
  });

  test("of several leaves its instance to the others", async () => {
    let dropped = false;
    const { port, stored } = await pacs({
      answer: (asked) => {
        if (!isStore(asked) || dropped) return 0;
        dropped = true;
        asked.socket.destroy();
        return undefined;
      },
    });
    const sent = await send(port, { associations: 3 });
    expect(sent.failed).toBeUndefined();
    expect(stored).toHaveLength(study.length - 1);
    expect([...sent.outcomes.values()].filter(({ state }) => state === "ambiguous")).toHaveLength(1);
  });

  test("an instance that is not answered in time is ambiguous, and its association is never used again", async () => {
    const fields: number[] = [];
    const { port, requests } = await pacs({ answer: (asked) => void fields.push(asked.field) });
    const { outcomes, failed } = await send(port, { responseSeconds: 0.2 });
    expect(failed).toMatchObject({ code: "PEER_UNREACHABLE" });
    expect([...outcomes.values()]).toEqual([{ state: "ambiguous", reason: expect.any(String) }]);
    expect(fields).toEqual([0x0001]);
    expect(requests).toHaveLength(1);
  });

  test("a PACS that reads no more does not hold us for ever", async () => {
    const { port } = await pacs({ isDeaf: true });
    const large = ctStudy({ instancesPerSeries: 12, size: 512 }).map(({ bytes }) => bytes);
    const many = [...large, ...large];
    const { failed } = await send(port, { responseSeconds: 0.2 }, many);
    expect(failed).toMatchObject({ code: "PEER_UNREACHABLE" });
  });

  test("a site that stops does not wait for the PACS", async () => {
    const stopping = new AbortController();
    const { port } = await pacs({ answer: () => void stopping.abort() });
    const sending = dicomDestination.send(
      settings(port),
      items(
        study.map(({ bytes }) => bytes),
        4096,
      ),
      () => undefined,
      { ...context, signal: stopping.signal },
    );
    await expect(sending).rejects.toMatchObject({ code: "PEER_UNREACHABLE" });
  });
});

describe("a rejection", () => {
  test.for([
    [
      1,
      1,
      3,
      "AE_TITLE_UNKNOWN",
      /does not know our calling AE title; its administrator must enter it: AE title SEMRS_B, host 127\.0\.0\.1, port 11112/,
    ],
    [1, 1, 7, "AE_TITLE_UNKNOWN", /correct calledAeTitle, or its administrator must enter it: AE title SEMRS_B/],
    [1, 1, 2, "PEER_REFUSED", /application context/],
    [1, 2, 2, "PEER_REFUSED", /source 2, reason 2/],
    [2, 3, 2, "PEER_BUSY", /for now/],
  ] as const)("result %i, source %i, reason %i is %s", async ([result, source, reason, code, message]) => {
    const { port } = await pacs({ reject: () => [result, source, reason] });
    await expect(echo(settings(port, { ourPort: 11_112 }), context)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
    });
  });
});
