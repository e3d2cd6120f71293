/** The registry center: an index of who holds what (paper steps 3 to 5). It stores tokens and sealed metadata, no document. */
import { createHash } from "node:crypto";
import { type AnyOpened, contentOf } from "../envelope/index.ts";
import { Fault } from "../errors.ts";
import {
  type Command,
  commandMediaType,
  eecForms,
  type PatientId,
  type Registered,
  readCommand,
  writeCommand,
} from "../formats/command.ts";
import { type DocumentEntry, documentEntrySchema } from "../formats/document-entry.ts";
import type { Change, EntryRow, Store, Token } from "../store/store.ts";
import { answerOnce, part1, seen } from "./once.ts";
import type { Answer, Exchange, Resource } from "./server.ts";

/** Whether an organisation gives the patient ids under a root. */
export type Owns = (org: string, root: string) => boolean;

/** The registry's resources: submissions (ITI-42), changes (ITI-57, ITI-8) and queries (ITI-18). */
export function openRegistry(exchange: Exchange, owns: Owns): readonly Resource[] {
  return [
    {
      station: "registry",
      path: "/registry/submissions",
      purposes: ["register"],
      isReceipted: true,
      takesIn: true,
      answer: (opened) => register(exchange, opened),
    },
    {
      station: "registry",
      path: "/registry/changes",
      purposes: ["change"],
      isReceipted: true,
      answer: (opened) => change(exchange, owns, opened),
    },
    {
      station: "registry",
      path: "/registry/queries",
      purposes: ["query"],
      answer: (opened) => query(exchange, opened),
    },
  ];
}

/** Step 3: entries, associations and the receipt in one commit. */
async function register(exchange: Exchange, opened: AnyOpened): Promise<Answer> {
  const { store, now, log } = exchange;
  const command = readCommand("register", await part1(opened));
  const createdAt = now().toISOString();
  const names = command.entries.map(({ manifestSha256 }) => manifestSha256);
  // What is replaced in the same submission is not in the index yet.
  const gone = new Set(command.entries.flatMap(({ entry }) => replacedBy(entry)));
  const answer = await answerOnce(exchange, opened, {
    status: 201,
    names,
    work: ({ changes }) =>
      store.commit([
        ...changes,
        ...command.entries.flatMap((entry) => enter(store, opened.org, entry, createdAt, gone)),
      ]),
  });
  log("registry.registered", { peer: opened.org, message: opened.manifest.message, count: command.entries.length });
  return answer;
}

function enter(
  store: Store,
  org: string,
  { entry, manifestSha256 }: Command<"register">["entries"][number],
  createdAt: string,
  gone: ReadonlySet<string>,
): readonly Change[] {
  if (entry.repositoryUniqueId !== org) {
    throw new Fault(
      "NOT_PERMITTED",
      "an entry names a repository that is not the sender's; register only what you hold",
    );
  }
  const key = store.tokens.of("document", "", entry.uniqueId);
  const known = store.entries.byKey(key);
  if (known) {
    // The second net of idempotency: the same record registered again under a new message id.
    if (known.org === org && known.manifestSha256 === manifestSha256) return [];
    throw new Fault("DOCUMENT_CONFLICT", "a document with this id is registered with other content");
  }
  return [
    ...store.entries.add({
      id: store.newId(),
      org,
      key,
      patients: entry.patientIds.map((id) => tokenOf(store, id)),
      references: entry.referenceIdList.map((reference) => store.tokens.of("reference", "", reference)),
      form: entry.form && eecForms.includes(entry.form) ? entry.form : "other",
      // The one that replaces it may have come first.
      status: gone.has(entry.uniqueId) || store.messages.hasTaken(replacedLedger(org), key) ? "deprecated" : "approved",
      createdAt,
      manifestSha256,
      entry,
    }),
    ...replaced(store, org, entry, createdAt),
  ];
}

/** Documents of a house that another one of it replaces, registered or not. */
const replacedLedger = (org: string): string => `replaced ${org}`;

/** uniqueIds of what an entry replaces. */
const replacedBy = ({ relatedDocuments }: DocumentEntry): readonly string[] =>
  relatedDocuments.filter(({ type }) => type === "RPLC").map(({ uniqueId }) => uniqueId);

/** A replacement deprecates what it replaces in the same commit, if the same house registered it. */
function replaced(store: Store, org: string, entry: DocumentEntry, at: string): readonly Change[] {
  const keys = replacedBy(entry).map((uniqueId) => store.tokens.of("document", "", uniqueId));
  return [
    ...keys.map((key) => store.messages.took(replacedLedger(org), key, at)),
    ...keys
      .map((key) => store.entries.byKey(key))
      .filter((old): old is EntryRow => old?.org === org)
      .map(({ id }) => store.entries.status(id, "deprecated")),
  ];
}

/** One commit with the receipt, which names the record that was changed, or the digest of the command that merges. */
async function change(exchange: Exchange, owns: Owns, opened: AnyOpened): Promise<Answer> {
  const { store, log } = exchange;
  const bytes = await part1(opened);
  const command = readCommand("change", bytes);
  const { changed, names } =
    command.action === "deprecate"
      ? { changed: deprecated(store, opened.org, command), names: [command.manifestSha256] }
      : {
          changed: merged(exchange, owns, opened.org, command),
          names: [createHash("sha256").update(bytes).digest("hex")],
        };
  const answer = await answerOnce(exchange, opened, {
    status: 200,
    names,
    work: ({ changes }) => store.commit([...changes, ...changed]),
  });
  log(command.action === "merge" ? "registry.merged" : "registry.changed", {
    peer: opened.org,
    message: opened.manifest.message,
  });
  return answer;
}

type ChangeOf<A> = Extract<Command<"change">, { action: A }>;

/** An entry is deprecated by who registered it, and by nobody else (refusal 90). */
function deprecated(store: Store, org: string, { uniqueId, manifestSha256 }: ChangeOf<"deprecate">): readonly Change[] {
  const entry = store.entries.byKey(store.tokens.of("document", "", uniqueId));
  if (entry && entry.org !== org)
    throw new Fault("NOT_PERMITTED", "an entry is changed by who registered it, and by nobody else");
  if (entry?.manifestSha256 !== manifestSha256)
    throw new Fault("DOCUMENT_UNKNOWN", "no such entry is registered; register it first");
  return [store.entries.status(entry.id, "deprecated")];
}

/** Two ids are of one patient for who gives both, and says so: an alias row, whatever is registered under either (refusal 90). */
function merged({ store, now }: Exchange, owns: Owns, org: string, { merges }: ChangeOf<"merge">): readonly Change[] {
  if (!merges.every(({ prior, surviving }) => owns(org, prior.root) && owns(org, surviving.root)))
    throw new Fault(
      "NOT_PERMITTED",
      "ids are merged by who gives both of them; name the owner of their root under identifiers of the registry",
    );
  return merges.map(({ prior, surviving }) =>
    store.merges.add({
      prior: tokenOf(store, prior),
      surviving: tokenOf(store, surviving),
      at: now().toISOString(),
      facts: { prior, surviving } satisfies MergedIds,
    }),
  );
}

/** What an alias row says of itself, sealed. */
type MergedIds = { readonly prior: PatientId; readonly surviving: PatientId };

const tokenOf = (store: Store, { root, extension }: PatientId): Token => store.tokens.of("patient", root, extension);

/** Steps 4 and 5: what is approved for any of these patient ids, newest first. */
async function query(exchange: Exchange, opened: AnyOpened): Promise<Answer> {
  const { store, log } = exchange;
  const { patientIds, forms, since, latest } = readCommand("query", await part1(opened));
  const patients = store.merges.same(patientIds.map((id) => tokenOf(store, id)));
  const rows = store.entries.find({
    patients,
    status: "approved",
    limit: latest,
    ...(forms ? { forms } : {}),
    ...(since ? { since } : {}),
  });
  await store.commit([seen(store, opened)]);
  log("registry.answered", { peer: opened.org, message: opened.manifest.message, count: rows.length });
  const answer = writeCommand<"entries">({ command: "entries", entries: rows.map((row) => registered(store, row)) });
  return {
    status: 200,
    purpose: "response",
    messageType: "entries",
    content: [await contentOf(answer, "command", commandMediaType)],
  };
}

/** An entry as it was registered, with every other id that its patient has or had. */
function registered(store: Store, { id, org, createdAt, manifestSha256, patients, entry: kept }: EntryRow): Registered {
  const entry = documentEntrySchema.parse(kept);
  const others = store.merges.of(patients).flatMap(({ facts }) => {
    const { prior, surviving } = facts as MergedIds;
    return [prior, surviving];
  });
  const all = [...entry.patientIds, ...others].map((each) => [`${each.root}^${each.extension}`, each] as const);
  const patientIds = [...new Map(all).values()].slice(0, maxIds);
  return { id, org, registeredAt: createdAt, manifestSha256, entry: { ...entry, patientIds } };
}

/** As many as an entry may have. */
const maxIds = 512;
