/** PS3.8 9.2: every PDU in every state, as the table prints it; those of an acceptor over the wire. */
import { afterEach, describe, expect, test } from "vitest";
import type { Deliver } from "../../connectors/connector.ts";
import { abort, pduTypes, releaseRp, releaseRq, writePdu } from "../../connectors/dicom/pdu.ts";
import { dicomSource } from "../../connectors/dicom/scp.ts";
import {
  type Action,
  actionOf,
  type Event,
  eventOfPdu,
  events,
  nextState,
  type State,
  states,
} from "../../connectors/dicom/states.ts";
import { associated, associateRq, dial, echoRq, pdv, type ScriptedPeer, storeRq } from "../dicom-peer.ts";

const stops: (() => unknown)[] = [];
afterEach(async () => {
  for (const stop of stops.splice(0).reverse()) await stop();
});

/** Answers nothing until it is let go. */
async function listening(options = {}): Promise<{ port: number; letGo(): void }> {
  let letGo = (): void => undefined;
  const held = new Promise<{ accepted: boolean }>((resolve) => (letGo = () => resolve({ accepted: true })));
  const deliver: Deliver = async ({ body }) => {
    for await (const _ of body);
    return { duplicate: false, answer: held };
  };
  const settings = dicomSource.options.parse({ port: 0, aeTitle: "SEMRS_A", ...options });
  const { address, stop } = await dicomSource.listen(settings, deliver, {
    log: () => undefined,
    signal: new AbortController().signal,
  });
  stops.push(letGo, stop);
  return { port: Number(address.split(":")[1]), letGo };
}

const pdus: readonly (readonly [event: Event, bytes: Buffer])[] = [
  ["Evt3 A-ASSOCIATE-AC", writePdu(pduTypes.associateAc, new Uint8Array(68))],
  ["Evt4 A-ASSOCIATE-RJ", writePdu(pduTypes.associateRj, Uint8Array.of(0, 1, 1, 1))],
  ["Evt6 A-ASSOCIATE-RQ", associateRq()],
  ["Evt10 P-DATA-TF", echoRq()],
  ["Evt12 A-RELEASE-RQ", releaseRq],
  ["Evt13 A-RELEASE-RP", releaseRp],
  ["Evt16 A-ABORT", abort(0, 0)],
  ["Evt19 unrecognized PDU", writePdu(0x77, new Uint8Array(4))],
];

/** The states of an acceptor that one can be in when a PDU comes (Sta3 is left in the same turn), and the way there. */
const reach: Readonly<Partial<Record<State, (port: number) => Promise<ScriptedPeer>>>> = {
  Sta2: dial,
  Sta6: associated,
  Sta8: async (port) => {
    const peer = await associated(port);
    peer.send(storeRq("1.2.3"), pdv(1, false, true, Buffer.alloc(16)), releaseRq);
    return peer;
  },
  Sta13: async (port) => {
    const peer = await associated(port);
    peer.send(releaseRq);
    expect(await peer.next()).toMatchObject({ type: pduTypes.releaseRp });
    return peer;
  },
};

const unexpected = [2, 2];
const unrecognized = [2, 1];
/** What a peer sees of each action. */
const seen: Readonly<Partial<Record<Action, (peer: ScriptedPeer, event: Event) => Promise<void>>>> = {
  "AE-6": async (peer) => expect(await peer.next()).toMatchObject({ type: pduTypes.associateAc }),
  "DT-2": async (peer) => expect((await peer.message()).command.get(0x100)).toBe(0x8030),
  "AR-2": async (peer) => expect(await peer.next()).toMatchObject({ type: pduTypes.releaseRp }),
  "AA-1": async (peer) => expect(await aborted(peer)).toEqual([0, 0]),
  "AA-2": async (peer) => expect(await peer.next()).toBeUndefined(),
  "AA-3": async (peer) => expect(await peer.next()).toBeUndefined(),
  // Ignored: what comes next is seen as in the same state.
  "AA-6": async (peer) => {
    peer.send(associateRq());
    expect(await aborted(peer)).toEqual(unexpected);
  },
  "AA-7": async (peer, event) =>
    expect(await aborted(peer)).toEqual(event.startsWith("Evt19") ? unrecognized : unexpected),
  "AA-8": async (peer, event) =>
    expect(await aborted(peer)).toEqual(event.startsWith("Evt19") ? unrecognized : unexpected),
};
/** Source and reason of the A-ABORT that must come. */
async function aborted(peer: ScriptedPeer): Promise<number[]> {
  const pdu = await peer.next();
  expect(pdu?.type).toBe(pduTypes.abort);
  return [...(pdu?.body.subarray(2, 4) ?? [])];
}

const cells = Object.keys(reach).flatMap((state) =>
  pdus.map(([event, bytes]) => ({ state: state as State, event, bytes, action: actionOf(state as State, event) })),
);

describe("PS3.8 Table 9-10 over the wire, as acceptor", () => {
  test.each(cells)("$event in $state: $action", async ({ state, event, bytes, action }) => {
    const { port } = await listening({ artimSeconds: 60 });
    const peer = await reach[state]?.(port);
    if (!peer || !action) throw new Error("a cell of the table that no test knows");
    stops.push(() => peer.socket.destroy());
    peer.send(bytes);
    await seen[action]?.(peer, event);
    expect(seen[action], `what a peer sees of ${action}`).toBeDefined();
  });

  test("AR-4: what is asked before a release is answered before it", async () => {
    const { port, letGo } = await listening();
    const peer = await reach.Sta8?.(port);
    letGo();
    expect((await peer?.message())?.command.get(0x100)).toBe(0x8001);
    expect(await peer?.next()).toMatchObject({ type: pduTypes.releaseRp });
    peer?.socket.destroy();
  });

  test.each([
    ["Evt18 in Sta2: one that asks nothing", dial],
    ["Evt18 in Sta13: one that does not close", reach.Sta13 ?? dial],
  ] as const)("%s is closed by ARTIM, octets that trickle in or not", async (_what, way) => {
    const { port } = await listening({ artimSeconds: 0.2 });
    const peer = await way(port);
    peer.send(associateRq().subarray(0, 6));
    const trickle = setInterval(() => peer.socket.write(Uint8Array.of(0)), 20);
    stops.push(() => clearInterval(trickle));
    expect(await peer.next()).toBeUndefined();
  });

  test("Evt15 in Sta6: one that falls silent is aborted, one that waits for our answer is not", async () => {
    const { port, letGo } = await listening({ idleSeconds: 0.2 });
    const [silent, waiting] = [await associated(port), await associated(port)];
    waiting.send(storeRq("1.2.3"), pdv(1, false, true, Buffer.alloc(16)));
    expect(await aborted(silent)).toEqual([0, 0]);
    letGo();
    expect((await waiting.message()).command.get(0x900)).toBe(0);
    for (const { socket } of [silent, waiting]) socket.destroy();
  });
});

describe("PS3.8 Table 9-10 itself", () => {
  test.each(events.filter((event) => (eventOfPdu as readonly Event[]).includes(event)))(
    "%s has an action in every state in which a PDU can come",
    (event) => {
      for (const state of states) {
        const isSilent = state === "Sta1" || state === "Sta4";
        expect(actionOf(state, event) !== undefined, state).toBe(!isSilent);
      }
    },
  );

  /** Said once more, as the text does (PS3.8 9.2.3): what is expected where; anything else is out of turn. */
  const expected: Readonly<Partial<Record<Event, Readonly<Partial<Record<State, Action>>>>>> = {
    "Evt3 A-ASSOCIATE-AC": { Sta5: "AE-3" },
    "Evt4 A-ASSOCIATE-RJ": { Sta5: "AE-4" },
    "Evt6 A-ASSOCIATE-RQ": { Sta2: "AE-6", Sta13: "AA-7" },
    "Evt10 P-DATA-TF": { Sta6: "DT-2", Sta7: "AR-6" },
    "Evt12 A-RELEASE-RQ": { Sta6: "AR-2", Sta7: "AR-8" },
    "Evt13 A-RELEASE-RP": { Sta7: "AR-3", Sta10: "AR-10", Sta11: "AR-3" },
    "Evt19 unrecognized PDU": { Sta13: "AA-7" },
  };
  test("a PDU out of turn is answered with A-ABORT: of the user before an association, of the provider within, none after", () => {
    for (const event of pdus.map(([each]) => each)) {
      for (const state of states.filter((each) => each !== "Sta1" && each !== "Sta4")) {
        const outOfTurn = state === "Sta2" ? "AA-1" : state === "Sta13" ? "AA-6" : "AA-8";
        const ended = state === "Sta2" || state === "Sta13" ? "AA-2" : "AA-3";
        const action = event === "Evt16 A-ABORT" ? ended : (expected[event]?.[state] ?? outOfTurn);
        expect(actionOf(state, event), `${event} in ${state}`).toBe(action);
      }
    }
  });

  test("every action leads to a state, and every state can be reached and left", () => {
    const led = new Set(Object.values(nextState).flat());
    expect([...led].sort()).toEqual([...states].sort());
    for (const state of states)
      expect(
        events.some((event) => actionOf(state, event) !== undefined),
        state,
      ).toBe(true);
  });
});
