/** The registry center: an index of who holds what (paper steps 3 to 5). It stores tokens and sealed metadata, no document. */
import { hash } from "node:crypto";
import { type AnyOpened, contentOf } from "../envelope/index.ts";
import { codeOf, Fault } from "../errors.ts";
import { type Command, commandMediaType, type PatientId, readCommand, writeCommand } from "../formats/command.ts";
import type { AuditedPatient, Change, EntryRow, Store } from "../store/store.ts";
import { type AccessRule, accessOf, type ConsentFacts, emergency, endedBy } from "./access.ts";
import type { Answer } from "./answers.ts";
import { answerOnce, part1, seen } from "./once.ts";
import { type MergedIds, tokenOf } from "./patients.ts";
import { answerQuery } from "./queries.ts";
import type { Exchange, Resource } from "./server.ts";
import { keyOf, removed, submitted } from "./submission.ts";
import { updated } from "./updated.ts";

/** Whether an organisation gives the patient ids under a root. */
export type Owns = (org: string, root: string) => boolean;

/** The registry's resources: submissions (ITI-42), changes (ITI-57, ITI-8) and queries (ITI-18). */
export function openRegistry(exchange: Exchange, owns: Owns, rules: readonly AccessRule[]): readonly Resource[] {
  return [
    {
      station: "registry",
      path: "/registry/submissions",
      purposes: ["register"],
      event: "registration",
      isReceipted: true,
      takesIn: true,
      answer: (opened) => register(exchange, opened),
    },
    {
      station: "registry",
      path: "/registry/changes",
      purposes: ["change"],
      event: "amendment",
      isReceipted: true,
      answer: (opened) => change(exchange, owns, opened),
    },
    {
      station: "registry",
      path: "/registry/queries",
      purposes: ["query"],
      event: "answer",
      answer: (opened) => query(exchange, rules, opened),
    },
  ];
}

/** Step 3: submission set, entries, associations and the receipt in one commit. */
async function register(exchange: Exchange, opened: AnyOpened): Promise<Answer> {
  const { store, now, log } = exchange;
  const command = readCommand("register", await part1(opened));
  const createdAt = now().toISOString();
  const names = command.entries.map(({ manifestSha256 }) => manifestSha256);
  const answer = await answerOnce(exchange, opened, {
    status: 201,
    names,
    audit: {
      event: "registration",
      count: command.entries.length,
      patients: command.entries.flatMap(({ entry }) => auditedPatient(store, entry.patientIds)),
    },
    work: (changes) =>
      lookedAgain(store, opened, () => store.commit([...changes, ...submitted(store, opened.org, command, createdAt)])),
  });
  log("registry.registered", { peer: opened.org, message: opened.manifest.message, count: command.entries.length });
  return answer;
}

/** How often is looked for what others register meanwhile. */
const maxLooks = 8;

/** What another envelope of the house has registered between the look at what there is and the commit is there at the next look. */
async function lookedAgain(store: Store, opened: AnyOpened, submit: () => Promise<void>, looks = 1): Promise<void> {
  try {
    await submit();
  } catch (thrown) {
    if (codeOf(thrown) !== "STORE_CONFLICT" || store.messages.find(opened.org, opened.manifest.message)) throw thrown;
    if (looks === maxLooks)
      throw new Fault("PEER_BUSY", "other envelopes of this house register the same documents now; send it again");
    await lookedAgain(store, opened, submit, looks + 1);
  }
}

/** One commit with the receipt, which names the record that was changed, or the digest of the command that merges. */
async function change(exchange: Exchange, owns: Owns, opened: AnyOpened): Promise<Answer> {
  const { store, log } = exchange;
  const bytes = await part1(opened);
  const command = readCommand("change", bytes);
  const { changed, patients } = changes[command.action](exchange, owns, opened.org, command as never);
  const names = "manifestSha256" in command ? [command.manifestSha256] : [hash("sha256", bytes)];
  const answer = await answerOnce(exchange, opened, {
    status: 200,
    names,
    audit: { event: "amendment", patients },
    work: (kept) => store.commit([...kept, ...changed()]),
  });
  const { action } = command;
  log(action === "merge" || action === "unmerge" ? `registry.${action}d` : "registry.changed", {
    peer: opened.org,
    message: opened.manifest.message,
  });
  return answer;
}

type Action = Command<"change">["action"];
type ChangeOf<A extends Action> = Extract<Command<"change">, { action: A }>;
/** What a change changes is asked once it is known to be a new one: what comes again is answered as it was. */
type Changed = { changed(): readonly Change[]; readonly patients: readonly AuditedPatient[] };

const changes: {
  readonly [A in Action]: (exchange: Exchange, owns: Owns, org: string, command: ChangeOf<A>) => Changed;
} = {
  deprecate: (...asked) => ({ changed: () => entryChanged(...asked), patients: [] }),
  remove: (...asked) => ({ changed: () => entryChanged(...asked), patients: [] }),
  update: ({ store }, _owns, org, { entry, ...named }) => ({
    changed: () => updated(store, ownEntry(store, org, named), entry),
    patients: auditedPatient(store, entry.patientIds),
  }),
  merge: merging,
  unmerge: merging,
  consent: (exchange, owns, org, command) => ({
    changed: () => consented(exchange, owns, org, command),
    patients: auditedPatient(exchange.store, command.patientIds),
  }),
};

/** What is gone cannot be deprecated. */
function entryChanged(
  { store }: Exchange,
  _owns: Owns,
  org: string,
  { action, ...named }: ChangeOf<"deprecate" | "remove">,
): readonly Change[] {
  const entry = ownEntry(store, org, named);
  if (entry.isRemoved && action === "deprecate") throw removed();
  return store.entries[action](entry.id);
}

/** An entry is changed by who registered it, and by nobody else (refusal 90): of others' nothing is told to whoever was not told its manifest. */
function ownEntry(
  store: Store,
  org: string,
  { uniqueId, manifestSha256 }: { readonly uniqueId: string; readonly manifestSha256: string },
): EntryRow {
  const named = store.entries.byKey(keyOf(store, uniqueId)).filter((row) => row.manifestSha256 === manifestSha256);
  const own = named.find((row) => row.org === org);
  if (own) return own;
  if (named.some(({ isRemoved }) => !isRemoved))
    throw new Fault("NOT_PERMITTED", "an entry is changed by who registered it, and by nobody else");
  throw new Fault("DOCUMENT_UNKNOWN", "no such entry is registered; register it first");
}

function merging(exchange: Exchange, owns: Owns, org: string, command: ChangeOf<"merge" | "unmerge">): Changed {
  const patients = command.merges.flatMap(({ surviving, prior }) => auditedPatient(exchange.store, [surviving, prior]));
  return { changed: () => merged(exchange, owns, org, command), patients };
}

/** Two ids are of one patient, or are not, for who gives both, and says so: an alias row, whatever is registered under either (refusal 90). */
function merged(
  { store, now }: Exchange,
  owns: Owns,
  org: string,
  { action, merges }: ChangeOf<"merge" | "unmerge">,
): readonly Change[] {
  if (!merges.every(({ prior, surviving }) => owns(org, prior.root) && owns(org, surviving.root)))
    throw new Fault(
      "NOT_PERMITTED",
      "ids are merged by who gives both of them; name the owner of their root under identifiers of the registry",
    );
  if (action === "unmerge")
    return merges.flatMap(({ prior, surviving }) =>
      store.merges.undo([tokenOf(store, prior), tokenOf(store, surviving)]),
    );
  return merges.flatMap(({ prior, surviving }) =>
    store.merges.add({
      prior: tokenOf(store, prior),
      surviving: tokenOf(store, surviving),
      at: now().toISOString(),
      facts: { prior, surviving } satisfies MergedIds,
    }),
  );
}

/** What a patient withholds or shares, said by who gives the id. */
function consented(
  { store, now, identity }: Exchange,
  owns: Owns,
  org: string,
  { patientIds, decision, orgs, forms }: ChangeOf<"consent">,
): readonly Change[] {
  if (!patientIds.every(({ root }) => owns(org, root)))
    throw new Fault("NOT_PERMITTED", "a consent is told by who gives the patient's id; name the owner of its root");
  if (!(orgs ?? []).every((each) => identity.partners.has(each) || each === identity.org))
    throw new Fault(
      "RECIPIENT_UNKNOWN",
      "a consent names a house that takes no part; semrs participants list tells who does",
    );
  const facts: ConsentFacts = { decision, orgs: orgs && [...new Set(orgs)], forms: forms && [...new Set(forms)] };
  return [...new Set(patientIds.map((id) => tokenOf(store, id)))].flatMap((patient) =>
    store.consents.add(
      { id: store.newId(), patient, org, at: now().toISOString(), facts },
      endedBy(store, patient, facts),
    ),
  );
}

/** One patient, by the first of their ids. */
function auditedPatient(store: Store, ids: readonly PatientId[]): readonly AuditedPatient[] {
  const [first] = ids;
  if (!first) return [];
  const written = ids.slice(0, maxAuditedIds).map(({ root, extension }) => `${root}^${extension}`);
  return [{ patient: tokenOf(store, first), ids: written }];
}
const maxAuditedIds = 16;

/** Steps 4 and 5: a page of what the registry knows. */
async function query(exchange: Exchange, rules: readonly AccessRule[], opened: AnyOpened): Promise<Answer> {
  const { store, log } = exchange;
  const asked = readCommand("query", await part1(opened));
  const found = answerQuery(store, opened.org, asked, accessOf(store, rules, opened.org, asked));
  const count = found.entries.length;
  const patients = auditedPatient(store, "patientIds" in asked ? (asked.patientIds ?? []) : []);
  const audit = { event: "answer", peer: opened.org, manifest: opened.manifestSha256, count, patients } as const;
  const isEmergency = asked.purposeOfUse === emergency;
  // One to be looked at by a person afterwards.
  const id = store.newId();
  const broken = { ...audit, event: "emergency", subject: id, reason: asked.reason ?? null } as const;
  await store.commit([
    ...seen(store, opened),
    ...store.audit.add(isEmergency ? broken : audit),
    ...(isEmergency ? [store.emergencies.add({ id, org: opened.org, at: exchange.now().toISOString() })] : []),
  ]);
  if (isEmergency) log("registry.emergency", { peer: opened.org, message: opened.manifest.message, count }, "warn");
  log("registry.answered", { peer: opened.org, message: opened.manifest.message, count });
  return {
    status: 200,
    purpose: "response",
    messageType: "found",
    content: [await contentOf(writeCommand<"found">(found), "command", commandMediaType)],
  };
}
