/** What is allowed in channels.yaml and probably not meant: documents that nobody takes, patients that nobody compares. */
import { eecForms } from "../formats/command.ts";
import type { Channel, InboundChannel, OutboundChannel } from "./config.ts";
import type { Problem } from "./config-file.ts";
import type { File, House, System } from "./config-schema.ts";
import { takesMessage } from "./filter.ts";

/** Cancels a document (HL7 v2.5.1 9.6.11). */
const cancellation = "MDM^T11";

/** Everything that deserves a warning. */
export function* findDoubts(file: File, channels: readonly Channel[]): Generator<Problem> {
  for (const [name, site] of Object.entries(file.sites)) {
    const own = channels.filter((channel) => site.run.includes(channel.name));
    for (const [system, settings] of Object.entries(site.systems)) yield* drops(file, name, system, settings, own);
  }
  for (const [name, { profiles }] of Object.entries(file.partners)) {
    if (!profiles.includes("semrs-2017")) continue;
    const message = "what it sends and is sent is signed in its document alone; headers and images can be anybody's";
    yield { code: "LEGACY_PARTNER", path: ["partners", name, "profiles"], message };
  }
  const sites = Object.values(file.sites);
  if (file.delivery.retry.for < dayMs && [file, ...sites].some(hasWindow)) {
    const message = "what fails when its window opens is parked at once: a window may be shut for longer than this";
    yield { code: "WINDOW_OUTLIVES_RETRY", path: ["delivery", "retry", "for"], message };
  }
  for (const channel of channels) {
    const path = ["channels", channel.name];
    if (!sites.some(({ run }) => run.includes(channel.name)))
      yield { code: "CHANNEL_NOT_RUN", path, message: "no site runs it" };
    yield* channel.kind === "outbound" ? outbound(path, channel, sites) : inbound(path, channel, file);
  }
}

const dayMs = 86_400_000;
const hasWindow = (part: File | House): boolean =>
  Object.values("systems" in part ? part.systems : part.partners).some(({ window }) => window !== undefined);

const isOutbound = (channel: Channel): channel is OutboundChannel => channel.kind === "outbound";

/** What a system sends, as far as it is known, against what the channels of its site take. */
function* drops(
  file: File,
  site: string,
  system: string,
  { mllp }: System,
  channels: readonly Channel[],
): Generator<Problem> {
  const path = ["sites", site, "systems", system];
  if (!channels.some((channel) => uses(channel, system)))
    yield { code: "SYSTEM_UNUSED", path, message: `no channel in run of ${site} uses it` };
  if (!mllp?.listen) return;
  const taking = channels.filter(isOutbound).filter(({ source }) => source.includes(system));
  const admissions = channels.flatMap((channel) => (isOutbound(channel) ? [] : admissionsOf(channel, system)));
  const known = new Set(Object.values(file.identifiers).flatMap((identifier) => identifier.authorities));
  for (const [index, authority] of mllp.authorities.entries()) {
    if (!known.has(authority))
      yield {
        code: "AUTHORITY_UNMAPPED",
        path: [...path, "mllp", "authorities", index],
        message: `${authority} is under no identifiers`,
      };
  }
  const { authority } = mllp;
  if (authority !== undefined && !known.has(authority))
    yield {
      code: "AUTHORITY_UNMAPPED",
      path: [...path, "mllp", "authority"],
      message: `${authority} is under no identifiers`,
    };
  const isTaken = (type: string): boolean =>
    taking.some(({ filter }) => takesMessage(filter.messages, type)) || takesMessage(admissions, type);
  for (const [index, type] of mllp.sends.entries()) {
    if (isTaken(type)) continue;
    if (type === cancellation && taking[0]) yield cancelled(taking[0], `${system} sends ${type}`);
    else
      yield {
        code: "FILTER_DROPS_MESSAGE",
        path: [...path, "mllp", "sends", index],
        message: `no channel of ${site} takes ${type}`,
      };
  }
  for (const channel of taking) {
    const some = channel.filter.messages.some((type) => type.startsWith("MDM^"));
    if (some && !isTaken(cancellation) && !mllp.sends.includes(cancellation))
      yield cancelled(channel, `${system} may send ${cancellation}`);
  }
  yield* forms(system, taking);
}

const cancelled = ({ name }: OutboundChannel, what: string): Problem => {
  return {
    code: "FILTER_DROPS_CANCEL",
    path: ["channels", name, "filter", "messages"],
    message: `${what}, ${name} doesn't take it`,
  };
};

const uses = (channel: Channel, system: string): boolean =>
  isOutbound(channel)
    ? channel.source.includes(system)
    : channel.deliver.some(({ to }) => to === system) || admissionsOf(channel, system).length > 0;

const admissionsOf = (channel: InboundChannel, system: string): readonly string[] =>
  channel.fetch.when.flatMap((when) => ("admission" in when && when.admission === system ? when.messages : []));

/** Forms that a system's channels leave out, all together. */
function* forms(system: string, taking: readonly OutboundChannel[]): Generator<Problem> {
  const [first] = taking;
  if (!first) return;
  const taken = new Set<string>(taking.flatMap(({ filter }) => filter.documents));
  const missing = [...eecForms, "other"].filter((form) => !taken.has(form));
  if (missing.length === 0) return;
  const path = ["channels", first.name, "filter", "documents"];
  yield { code: "FILTER_DROPS_DOCUMENT", path, message: `no channel takes ${missing.join(", ")} from ${system}` };
}

function* outbound(
  path: readonly PropertyKey[],
  channel: OutboundChannel,
  sites: readonly House[],
): Generator<Problem> {
  for (const what of ["document", "study"] as const) {
    const grade = channel.validate[what].patient;
    if (grade === "reject" || grade === "hold" || (what === "study" && !channel.assemble)) continue;
    const message = `${grade}: a ${what} of another patient passes`;
    yield { code: "PATIENT_MISMATCH_PASSES", path: [...path, "validate", what, "patient"], message };
  }
  const { schema, schemas } = channel.validate.document;
  if (schemas !== undefined && schema === "skip") {
    const message = "schema is skip: no document is compared with it";
    yield { code: "SCHEMA_SKIPPED", path: [...path, "validate", "document", "schemas"], message };
  }
  const runs = sites.filter(({ run }) => run.includes(channel.name));
  const sends = ({ systems }: House): boolean =>
    channel.source.some(
      (name) => systems[name]?.dicom?.listen || systems[name]?.directory?.mediaType === "application/dicom",
    );
  if (channel.assemble && runs.length > 0 && !runs.some(sends))
    yield { code: "STUDY_WITHOUT_SOURCE", path: [...path, "assemble"], message: "none of its sources sends instances" };
  if (channel.route.includes("none"))
    yield { code: "SHADOW_CHANNEL", path: [...path, "route"], message: "sealed and not sent" };
}

function* inbound(path: readonly PropertyKey[], channel: InboundChannel, file: File): Generator<Problem> {
  yield* numbers(path, channel, file);
  const { fetch } = channel;
  if (fetch.rules.length === 0)
    yield { code: "FETCH_WITHOUT_RULE", path: [...path, "fetch", "rules"], message: "no rule, no fetch" };
  if (!fetch.when.some((when) => "admission" in when)) return;
  for (const [name, { authorities }] of Object.entries(file.identifiers)) {
    if (authorities.length > 0) continue;
    const message = "no authority: a PID-3 of it leads to no query";
    yield { code: "AUTHORITY_UNMAPPED", path: ["identifiers", name, "authorities"], message };
  }
}

/** An authority that no system writes: every record would be held for want of a number. */
function* numbers(path: readonly PropertyKey[], { deliver }: InboundChannel, file: File): Generator<Problem> {
  const systems = Object.values(file.sites).flatMap(({ systems }) => Object.values(systems));
  const known = new Set([
    ...Object.values(file.identifiers).flatMap(({ authorities, roots }) => [...authorities, ...roots]),
    ...systems.flatMap(({ mllp }) => [...(mllp?.authorities ?? []), ...(mllp?.authority ? [mllp.authority] : [])]),
  ]);
  for (const [index, { authority }] of deliver.entries()) {
    if (authority === undefined || known.has(authority)) continue;
    const message = `${authority} is under no identifiers, and no system writes it: without its number all is held`;
    yield { code: "AUTHORITY_UNMAPPED", path: [...path, "deliver", index, "authority"], message };
  }
}
