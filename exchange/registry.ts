/** The registry center: an index of who holds what (paper steps 3 to 5). It stores tokens and sealed metadata, no document. */
import { type AnyOpened, contentOf } from "../envelope/index.ts";
import { Fault } from "../errors.ts";
import {
  type Command,
  commandMediaType,
  eecForms,
  type Registered,
  readCommand,
  writeCommand,
} from "../formats/command.ts";
import { type DocumentEntry, documentEntrySchema } from "../formats/document-entry.ts";
import type { Change, EntryRow, Store, Token } from "../store/store.ts";
import { answerOnce, part1, seen } from "./once.ts";
import type { Answer, Exchange, Resource } from "./server.ts";

/** The registry's resources: submissions (ITI-42) and queries (ITI-18). */
export function openRegistry(exchange: Exchange): readonly Resource[] {
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
      answer: (opened) => change(exchange, opened),
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
  const answer = await answerOnce(exchange, opened, {
    status: 201,
    names,
    work: ({ changes }) =>
      store.commit([...changes, ...command.entries.flatMap((entry) => enter(store, opened.org, entry, createdAt))]),
  });
  log("registry.registered", { peer: opened.org, message: opened.manifest.message, count: command.entries.length });
  return answer;
}

function enter(
  store: Store,
  org: string,
  { entry, manifestSha256 }: Command<"register">["entries"][number],
  createdAt: string,
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
      patients: entry.patientIds.map(({ root, extension }) => store.tokens.of("patient", root, extension)),
      references: entry.referenceIdList.map((reference) => store.tokens.of("reference", "", reference)),
      form: entry.form && eecForms.includes(entry.form) ? entry.form : "other",
      // The one that replaces it may have come first.
      status: store.messages.hasTaken(replacedLedger(org), key) ? "deprecated" : "approved",
      createdAt,
      manifestSha256,
      entry,
    }),
    ...replaced(store, org, entry, createdAt),
  ];
}

/** Documents of a house that another one of it replaces, registered or not. */
const replacedLedger = (org: string): string => `replaced ${org}`;

/** A replacement deprecates what it replaces in the same commit, if the same house registered it. */
function replaced(store: Store, org: string, entry: DocumentEntry, at: string): readonly Change[] {
  const keys = entry.relatedDocuments
    .filter(({ type }) => type === "RPLC")
    .map(({ uniqueId }) => store.tokens.of("document", "", uniqueId));
  return [
    ...keys.map((key) => store.messages.took(replacedLedger(org), key, at)),
    ...keys
      .map((key) => store.entries.byKey(key))
      .filter((old): old is EntryRow => old?.org === org)
      .map(({ id }) => store.entries.status(id, "deprecated")),
  ];
}

/** An entry is deprecated by who registered it, and by nobody else (refusal 90). */
async function change(exchange: Exchange, opened: AnyOpened): Promise<Answer> {
  const { store, log } = exchange;
  const { uniqueId, manifestSha256 } = readCommand("change", await part1(opened));
  const entry = store.entries.byKey(store.tokens.of("document", "", uniqueId));
  if (entry && entry.org !== opened.org)
    throw new Fault("NOT_PERMITTED", "an entry is changed by who registered it, and by nobody else");
  if (entry?.manifestSha256 !== manifestSha256)
    throw new Fault("DOCUMENT_UNKNOWN", "no such entry is registered; register it first");
  const answer = await answerOnce(exchange, opened, {
    status: 200,
    names: [manifestSha256],
    work: ({ changes }) => store.commit([...changes, store.entries.status(entry.id, "deprecated")]),
  });
  log("registry.changed", { peer: opened.org, message: opened.manifest.message });
  return answer;
}

/** Steps 4 and 5: what is approved for any of these patient ids, newest first. */
async function query(exchange: Exchange, opened: AnyOpened): Promise<Answer> {
  const { store, log } = exchange;
  const { patientIds, forms, since, latest } = readCommand("query", await part1(opened));
  const patients: readonly Token[] = patientIds.map(({ root, extension }) =>
    store.tokens.of("patient", root, extension),
  );
  const rows = store.entries.find({
    patients,
    status: "approved",
    limit: latest,
    ...(forms ? { forms } : {}),
    ...(since ? { since } : {}),
  });
  await store.commit([seen(store, opened)]);
  log("registry.answered", { peer: opened.org, message: opened.manifest.message, count: rows.length });
  const answer = writeCommand<"entries">({ command: "entries", entries: rows.map(registered) });
  return {
    status: 200,
    purpose: "response",
    messageType: "entries",
    content: [await contentOf(answer, "command", commandMediaType)],
  };
}

const registered = ({ id, org, createdAt, manifestSha256, entry }: EntryRow): Registered => ({
  id,
  org,
  registeredAt: createdAt,
  manifestSha256,
  entry: documentEntrySchema.parse(entry),
});
