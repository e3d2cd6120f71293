/** The upper layer's state machine as the standard prints it (PS3.8 9.2): events by states, and what each action does. */

/** PS3.8 Table 9-1 to 9-5. Sta1 idle, Sta2 connected, Sta6 data, Sta13 waiting for the connection to close; odd names are the standard's. */
export const states = [
  "Sta1",
  "Sta2",
  "Sta3",
  "Sta4",
  "Sta5",
  "Sta6",
  "Sta7",
  "Sta8",
  "Sta9",
  "Sta10",
  "Sta11",
  "Sta12",
  "Sta13",
] as const;
export type State = (typeof states)[number];

// biome-ignore format: as the standard prints it.
const table = {
  // Event, then Sta1 to Sta13 (PS3.8 Table 9-10).
  "Evt1 associate request":       ["AE-1", "-",    "-",    "-",    "-",    "-",    "-",    "-",    "-",    "-",     "-",    "-",    "-"],
  "Evt2 transport connected":     ["-",    "-",    "-",    "AE-2", "-",    "-",    "-",    "-",    "-",    "-",     "-",    "-",    "-"],
  "Evt3 A-ASSOCIATE-AC":          ["-",    "AA-1", "AA-8", "-",    "AE-3", "AA-8", "AA-8", "AA-8", "AA-8", "AA-8",  "AA-8", "AA-8", "AA-6"],
  "Evt4 A-ASSOCIATE-RJ":          ["-",    "AA-1", "AA-8", "-",    "AE-4", "AA-8", "AA-8", "AA-8", "AA-8", "AA-8",  "AA-8", "AA-8", "AA-6"],
  "Evt5 transport indication":    ["AE-5", "-",    "-",    "-",    "-",    "-",    "-",    "-",    "-",    "-",     "-",    "-",    "-"],
  "Evt6 A-ASSOCIATE-RQ":          ["-",    "AE-6", "AA-8", "-",    "AA-8", "AA-8", "AA-8", "AA-8", "AA-8", "AA-8",  "AA-8", "AA-8", "AA-7"],
  "Evt7 associate accept":        ["-",    "-",    "AE-7", "-",    "-",    "-",    "-",    "-",    "-",    "-",     "-",    "-",    "-"],
  "Evt8 associate reject":        ["-",    "-",    "AE-8", "-",    "-",    "-",    "-",    "-",    "-",    "-",     "-",    "-",    "-"],
  "Evt9 data request":            ["-",    "-",    "-",    "-",    "-",    "DT-1", "-",    "AR-7", "-",    "-",     "-",    "-",    "-"],
  "Evt10 P-DATA-TF":              ["-",    "AA-1", "AA-8", "-",    "AA-8", "DT-2", "AR-6", "AA-8", "AA-8", "AA-8",  "AA-8", "AA-8", "AA-6"],
  "Evt11 release request":        ["-",    "-",    "-",    "-",    "-",    "AR-1", "-",    "-",    "-",    "-",     "-",    "-",    "-"],
  "Evt12 A-RELEASE-RQ":           ["-",    "AA-1", "AA-8", "-",    "AA-8", "AR-2", "AR-8", "AA-8", "AA-8", "AA-8",  "AA-8", "AA-8", "AA-6"],
  "Evt13 A-RELEASE-RP":           ["-",    "AA-1", "AA-8", "-",    "AA-8", "AA-8", "AR-3", "AA-8", "AA-8", "AR-10", "AR-3", "AA-8", "AA-6"],
  "Evt14 release response":       ["-",    "-",    "-",    "-",    "-",    "-",    "-",    "AR-4", "AR-9", "-",     "-",    "AR-4", "-"],
  "Evt15 abort request":          ["-",    "-",    "AA-1", "AA-2", "AA-1", "AA-1", "AA-1", "AA-1", "AA-1", "AA-1",  "AA-1", "AA-1", "-"],
  "Evt16 A-ABORT":                ["-",    "AA-2", "AA-3", "-",    "AA-3", "AA-3", "AA-3", "AA-3", "AA-3", "AA-3",  "AA-3", "AA-3", "AA-2"],
  "Evt17 transport closed":       ["-",    "AA-5", "AA-4", "AA-4", "AA-4", "AA-4", "AA-4", "AA-4", "AA-4", "AA-4",  "AA-4", "AA-4", "AR-5"],
  "Evt18 ARTIM expired":          ["-",    "AA-2", "-",    "-",    "-",    "-",    "-",    "-",    "-",    "-",     "-",    "-",    "AA-2"],
  "Evt19 unrecognized PDU":       ["-",    "AA-1", "AA-8", "-",    "AA-8", "AA-8", "AA-8", "AA-8", "AA-8", "AA-8",  "AA-8", "AA-8", "AA-7"],
} as const;

export type Event = keyof typeof table;
export type Action = Exclude<(typeof table)[Event][number], "-">;
export const events = Object.keys(table) as readonly Event[];

/** What happens to an event in a state; undefined where the standard has no such cell: it cannot come, or is our own mistake. */
export function actionOf(state: State, event: Event): Action | undefined {
  const action = table[event][states.indexOf(state)];
  return action === "-" ? undefined : action;
}

/**
 * The state after each action (PS3.8 Tables 9-6 to 9-9); where two are possible, the one of an acceptor first.
 * AE-6 leads to Sta13 when the provider itself rejects, AR-8 to Sta9 at the requestor.
 */
export const nextState: Readonly<Record<Action, readonly State[]>> = {
  "AE-1": ["Sta4"],
  "AE-2": ["Sta5"],
  "AE-3": ["Sta6"],
  "AE-4": ["Sta1"],
  "AE-5": ["Sta2"],
  "AE-6": ["Sta3", "Sta13"],
  "AE-7": ["Sta6"],
  "AE-8": ["Sta13"],
  "DT-1": ["Sta6"],
  "DT-2": ["Sta6"],
  "AR-1": ["Sta7"],
  "AR-2": ["Sta8"],
  "AR-3": ["Sta1"],
  "AR-4": ["Sta13"],
  "AR-5": ["Sta1"],
  "AR-6": ["Sta7"],
  "AR-7": ["Sta8"],
  "AR-8": ["Sta10", "Sta9"],
  "AR-9": ["Sta11"],
  "AR-10": ["Sta12"],
  "AA-1": ["Sta13"],
  "AA-2": ["Sta1"],
  "AA-3": ["Sta1"],
  "AA-4": ["Sta1"],
  "AA-5": ["Sta1"],
  "AA-6": ["Sta13"],
  "AA-7": ["Sta13"],
  "AA-8": ["Sta13"],
};

/** The event of a PDU by its type (PS3.8 9.3.1). */
export const eventOfPdu = [
  "Evt19 unrecognized PDU",
  "Evt6 A-ASSOCIATE-RQ",
  "Evt3 A-ASSOCIATE-AC",
  "Evt4 A-ASSOCIATE-RJ",
  "Evt10 P-DATA-TF",
  "Evt12 A-RELEASE-RQ",
  "Evt13 A-RELEASE-RP",
  "Evt16 A-ABORT",
] as const satisfies readonly Event[];
