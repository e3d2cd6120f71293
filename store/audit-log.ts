/**
 * The audit log: one entry for every acceptance, refusal, seal, open, query, retrieval, act of a person and read of a payload, in
 * the same transaction as what it tells of, so durable when that is (decision 14). Entries are never changed and stand in the
 * order of their commits; the writer chains them (`audit_chain`, `writer.ts`).
 */
import { Fault } from "../errors.ts";
import { anchorOf } from "./audit-anchor.ts";
import { type AuditCheck, type AuditHead, type AuditRow, followChain, type WitnessedHead } from "./audit-chain.ts";
import type { AuditEvent, AuditOutcome } from "./audit-events.ts";
import type { PatientKeys } from "./patient-keys.ts";
import { text } from "./rows.ts";
import { change, type Database, type Row } from "./sqlite.ts";
import type { Change, Id, Token } from "./store.ts";

/** One thing that happened. Nothing of it names a patient but `patients`, which rest sealed under each patient's own key. */
export type AuditEntry = {
  readonly event: AuditEvent;
  /** Done unless said. */
  readonly outcome?: AuditOutcome;
  /** Of the arrival, item, record or delivery it happened to. */
  readonly subject?: Id | null;
  /** The other side: a system, or an organisation; `address` is its end of the connection. */
  readonly peer?: string | null;
  readonly address?: string | null;
  /** SHA-256 (hex) of the manifest that was sealed or opened. */
  readonly manifest?: string | null;
  readonly count?: number | null;
  readonly code?: string | null;
  /** A fault's message (without patient data), or why a person did it. */
  readonly reason?: string | null;
  readonly patients?: readonly AuditedPatient[];
};
export type AuditedPatient = { readonly patient: Token; readonly ids: readonly string[] };

/** An entry as it is read: `ids` is null where the patient's key was erased, or where it or the ids were damaged. */
export type Audited = Omit<AuditEntry, "patients" | "outcome"> & {
  readonly seq: number;
  /** Hex. */
  readonly chain: string;
  /** ISO 8601 with milliseconds. */
  readonly at: string;
  readonly outcome: AuditOutcome;
  readonly patients: readonly {
    readonly key: string;
    readonly ids: readonly string[] | null;
    readonly isDamaged?: true;
  }[];
};

export type AuditLog = {
  /** Committed with what it tells of. */
  add(entry: AuditEntry): readonly Change[];
  /** Where the log stands: everything up to there is durable. STORE_DAMAGED when there is none. */
  head(): AuditHead;
  /** Entries behind a number, oldest first. */
  after(seq: number, limit: number): readonly Audited[];
  /** How many entries name a patient under one of these keys, in pieces between which others may work. */
  sealedUnder(keys: readonly string[]): Generator<void, number>;
  /** Whether the log stood there: of what was pruned nobody can tell, and it counts. */
  stoodAt(head: AuditHead): boolean;
  /** The whole chain, in pieces between which others may work. */
  follow(): Generator<void, AuditCheck>;
  /** The same up to an entry of which somebody holds the head. */
  followTo(witness: WitnessedHead): Generator<void, AuditCheck>;
};

/** An entry as it is chained: JSON in this order, without what is null. */
type Kept = Pick<Audited, "at" | "outcome"> &
  Omit<AuditEntry, "patients" | "outcome"> & {
    readonly patients?: readonly { readonly key: string; readonly sealed: string }[];
  };

const maxReason = 512;
/** As many as one submission has entries. */
const maxPatients = 200;
const pageRows = 1000;
const countedRows = 5_000;
const sealedAs = "audit";

const add = `
  INSERT INTO audit (seq, body, chain)
  SELECT (SELECT max(seq) FROM audit) + 1, entry.body,
    audit_chain((SELECT chain FROM audit ORDER BY seq DESC LIMIT 1), entry.body)
  FROM (SELECT ? AS body) AS entry`;

const underSql = `
  SELECT count(*) AS n FROM audit WHERE seq > ? AND seq <= ?
    AND EXISTS (SELECT 1 FROM json_each(?) WHERE instr(body, value) > 0)`;

export function openAuditLog(db: Database, patientKeys: PatientKeys, now: () => Date): AuditLog {
  const read = (row: Row): Audited => {
    const { patients = [], ...kept } = JSON.parse(text(row, "body")) as Kept;
    return {
      seq: Number(row.seq),
      chain: hex(row),
      ...kept,
      patients: patients.map(({ key, sealed }) => {
        const clear = patientKeys.open(key, sealedAs, Buffer.from(sealed, "base64"));
        if (clear) return { key, ids: JSON.parse(Buffer.from(clear).toString("utf8")) as string[] };
        return { key, ids: null, ...(patientKeys.isErased(key) ? {} : { isDamaged: true }) };
      }),
    };
  };
  const chainAt = (seq: number): string | undefined => {
    const row = db.get("SELECT chain FROM audit WHERE seq = ?", seq);
    return row && hex(row);
  };
  return {
    add: ({ event, outcome = "done", subject, peer, address, manifest, count, code, reason, patients = [] }) => {
      const sealed = patients
        .slice(0, maxPatients)
        .map(({ patient, ids }) => patientKeys.seal(patient, sealedAs, Buffer.from(JSON.stringify(ids))));
      const kept: { readonly [name in keyof Kept]: unknown } = {
        at: now().toISOString(),
        event,
        outcome,
        subject: subject ?? undefined,
        peer: peer ?? undefined,
        address: address ?? undefined,
        manifest: manifest ?? undefined,
        count: count ?? undefined,
        code: code ?? undefined,
        reason: reason?.slice(0, maxReason),
        patients:
          sealed.length > 0
            ? sealed.map((each) => ({ key: each.key, sealed: Buffer.from(each.sealed).toString("base64") }))
            : undefined,
      };
      return [...sealed.flatMap(({ changes }) => changes), change(add, JSON.stringify(kept))];
    },
    head: () => {
      const row = db.get("SELECT seq, chain FROM audit ORDER BY seq DESC LIMIT 1");
      if (!row)
        throw new Fault("STORE_DAMAGED", "the audit log has no beginning; restore the data folder from a backup");
      return { seq: Number(row.seq), head: hex(row) };
    },
    after: (seq, limit) =>
      db.all("SELECT * FROM audit WHERE seq > max(?, 0) ORDER BY seq LIMIT +?", seq, limit).map(read),
    sealedUnder: function* (keys) {
      // As JSON writes it: within a text its quotes would be escaped.
      const named = JSON.stringify(keys.map((key) => `"key":"${key}"`));
      let count = 0;
      for (let [from, end] = [0, lastOf(db)]; from < end; from += countedRows) {
        count += Number(db.get(underSql, from, from + countedRows, named)?.n ?? 0);
        yield;
      }
      return count;
    },
    stoodAt: ({ seq, head }) => seq <= (anchorOf(db)?.seq ?? -1) || chainAt(seq) === head,
    follow: () => followChain(auditRows(db), [], anchorOf(db)),
    followTo: (witness) => {
      const before = anchorOf(db);
      const anchor = before && { seq: before.seq, chain: before.chain };
      return followChain(upTo(auditRows(db), witness.seq), [witness], anchor);
    },
  };
}

const lastOf = (db: Database): number => Number(db.get("SELECT max(seq) AS seq FROM audit")?.seq ?? 0);

const hex = ({ chain }: Row): string => Buffer.from(chain as Uint8Array).toString("hex");

function* upTo(rows: Iterable<AuditRow>, seq: number): Generator<AuditRow> {
  for (const row of rows) {
    if (row.seq > seq) return;
    yield row;
  }
}

/** All rows, from the empty one on, a page at a time. */
export function* auditRows(db: Pick<Database, "all">): Generator<AuditRow> {
  for (let last = -1; ; ) {
    const rows = db.all("SELECT * FROM audit WHERE seq > ? ORDER BY seq LIMIT +?", last, pageRows);
    for (const row of rows) yield { seq: Number(row.seq), body: text(row, "body"), chain: row.chain as Uint8Array };
    if (rows.length < pageRows) return;
    last = Number(rows.at(-1)?.seq);
  }
}
