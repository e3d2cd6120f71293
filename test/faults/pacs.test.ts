/** What PACS B does to deliveries: it rejects our AE title, drops in mid-study, falls silent; nothing is lost, nothing parked. */
import { describe, expect, test } from "vitest";
import type { Traced } from "../../commands/journal/trace.ts";
import type { ProposedContext } from "../../connectors/dicom/association.ts";
import { type Script, scriptedPacs } from "../connectors/scripted-pacs.ts";
import { openExchange, until } from "../sites.ts";
import { deliveries, delivering, digests, housesWithPacs, logged, pki, stops, study } from "./pacs-b.ts";

housesWithPacs();

describe("PACS B", () => {
  test.for([1, 3, 7])(
    "that rejects our AE title (reason %i) pauses alone, with one alarm, and is resumed by itself",
    async (reason) => {
      let isKnown = false;
      const { at, pacs } = await delivering({ reject: () => (isKnown ? undefined : [1, 1, reason]) });
      await until("probes", () => pacs.requests.length >= 4);
      await until("HIS B has the document", () => at.documentsAtB().size === 1);
      const alarms = at.log.filter(({ site, level }) => site === "hospital-b" && level === "error");
      expect(alarms).toHaveLength(1);
      expect(alarms[0]).toMatchObject({
        event: "deliver.paused",
        fields: {
          code: "AE_TITLE_UNKNOWN",
          peer: "pacs",
          reason: expect.stringContaining("AE title SEMRS_B, host 127.0.0.1"),
        },
      });
      expect((await deliveries(at)).parked ?? 0).toBe(0);
      // It stops and starts: the pause goes on, and the journal is not told twice.
      await at.stop("hospital-b");
      await at.start("hospital-b");
      const before = pacs.requests.length;
      // Without a reason each is followed by a C-ECHO.
      await until("a probe after the restart", () => pacs.requests.length > before + 1);
      isKnown = true;
      await until("all delivered", () => new Map(pacs.stored).size === study.length);
      await until("resumed", () => logged(at, "deliver.resumed").length === 1);
      expect(new Map(pacs.stored)).toEqual(digests);
      const record = String(logged(at, "deliver.paused")[0]?.fields.message);
      await until("the record delivered", async () => {
        const { records } = await at.admin("hospital-b").get<{ records: Record<string, number> }>("/counts");
        return records.delivered === 1;
      });
      const { steps } = await at.admin("hospital-b").get<Traced>(`/trace/${record}`);
      const events = steps.map(({ event }) => event);
      expect(events.filter((event) => event === "paused")).toHaveLength(1);
      expect(events.filter((event) => event === "resumed")).toHaveLength(1);
    },
  );

  test("that drops the association in mid-study gets the rest from the first undelivered instance, each once", async () => {
    let count = 0;
    const { at, pacs } = await delivering(
      {
        answer: ({ socket, field }) => {
          count += field === 1 ? 1 : 0;
          if (count !== 3) return 0;
          socket.destroy();
          return undefined;
        },
      },
      (yaml) => yaml.replace("associations: 4", "associations: 1"),
    );
    await until("all delivered", () => pacs.stored.length === study.length);
    await until("nothing waits", async () => ((await deliveries(at)).delivered ?? 0) >= 4);
    expect(pacs.stored.map(([uid]) => uid).sort()).toEqual([...digests.keys()].sort());
    expect(logged(at, "deliver.deferred")[0]?.fields.code).toBe("PEER_AMBIGUOUS");
  });

  test("whose disk is full gets the rest once it has space, also where it refuses one instance for good", async () => {
    const refused = study[0]?.sopInstanceUid;
    let isFull = true;
    let asked = 0;
    const { at, pacs } = await delivering({
      answer: ({ sopInstanceUid, field }) => {
        if (field === 1) asked += 1;
        return sopInstanceUid === refused ? 0xc000 : isFull ? 0xa700 : 0;
      },
    });
    await until("all asked", () => asked >= study.length);
    isFull = false;
    await until("the rest stored", () => pacs.stored.length === study.length - 1);
    await until("parked", async () => (await deliveries(at)).parked === 1);
    expect(logged(at, "deliver.deferred")[0]?.fields.code).toBe("PEER_BUSY");
    expect(logged(at, "deliver.parked").map(({ fields }) => fields.code)).toEqual(["PEER_REFUSED"]);
  });

  const implicit = "1.2.840.10008.1.2";
  const isTaken = ({ transferSyntaxes }: ProposedContext): boolean => transferSyntaxes[0] === implicit;
  test.for<[string, Script]>([
    ["refuses the context of the whole study", {}],
    // As DCMTK's dcmrecv does.
    [
      "rejects an association that offers nothing else",
      { reject: ({ contexts }) => (contexts.some(isTaken) ? undefined : [1, 1, 1]) },
    ],
  ])("that %s is told once, with what it takes", async ([_what, script]) => {
    const { at } = await delivering({ accepts: (context) => (isTaken(context) ? 0 : 4), ...script });
    await until("parked", async () => (await deliveries(at)).parked === 1);
    const [parked, ...more] = logged(at, "deliver.parked");
    expect(more).toEqual([]);
    expect(parked?.fields).toMatchObject({
      code: "DICOM_UNSUPPORTED",
      reason: expect.stringMatching(/it takes .*1\.2\.840\.10008\.1\.2$/),
    });
  });
});

test("a health check by C-ECHO tells what changes, once, in the log, the metrics and /health/ready", async () => {
  let isKnown = true;
  const pacs = await scriptedPacs({ reject: () => (isKnown ? undefined : [1, 1, 3]) });
  stops.push(() => pacs.stop());
  const at = await openExchange(pki, { B_PACS: String(pacs.port) }, (yaml) =>
    yaml.replace("calledAeTitle: PACS_B, associations: 4", "calledAeTitle: PACS_B, echoEvery: 20ms"),
  );
  stops.push(() => at.close());
  const get = async (path: string): Promise<string> =>
    await (await fetch(`http://127.0.0.1:${at.env.B_ADMIN}${path}`)).text();
  const shows = async (state: string, up: number): Promise<void> =>
    await until(
      state,
      async () =>
        JSON.parse(await get("/health/ready")).systems.pacs === state &&
        (await get("/metrics")).includes(`semrs_system_up{system="pacs",site="hospital-b"} ${up}`),
    );
  await shows("up", 1);
  isKnown = false;
  await shows("AE_TITLE_UNKNOWN", 0);
  const asked = pacs.requests.length;
  await until("asked on", () => pacs.requests.length > asked + 3);
  isKnown = true;
  await shows("up", 1);
  const lines = at.log.filter(({ event }) => event.startsWith("health.")).map(({ event }) => event);
  expect(lines).toEqual(["health.lost", "health.restored"]);
});
