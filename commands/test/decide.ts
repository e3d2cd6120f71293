/** Which line of channels.yaml decided what a test did not expect. */
import type { Channel, Config, OutboundChannel } from "../../pipeline/config.ts";
import { takesMessage } from "../../pipeline/filter.ts";
import type { Difference } from "./compare.ts";
import type { Facts } from "./facts.ts";
import type { House } from "./houses.ts";

type Path = readonly PropertyKey[];
/** In words, and where. */
export type Decision = { readonly what: string; readonly path: Path; readonly config: Config };

/** The key that decided; undefined where the configuration has no say. `message` is MSH-9 of what was sent. */
export function decidedBy(
  difference: Difference,
  facts: Facts,
  sender: {
    readonly house: House;
    readonly system: string;
    readonly messageType: string;
    readonly processingId: string;
  },
  houses: ReadonlyMap<string, House>,
): Decision | undefined {
  const { config } = sender.house;
  const decision = (what: string, path: Path, of = config): Decision => ({ what, path, config: of });
  const name = facts.channel ?? outbound(config, sender.system)[0]?.name;
  const at = (...rest: Path): Path => (name ? ["channels", name, ...rest] : ["sites", config.site, "run"]);
  const [arrival] = facts.family.arrivals;

  if (arrival?.state === "filtered" && arrival.code === "NO_CHANNEL")
    return decision("filtered", filtering(config, sender));
  if (arrival?.state === "refused")
    return decision(
      "refused",
      refusals[arrival.code ?? ""]
        ? at("validate", ...(refusals[arrival.code ?? ""] ?? []))
        : ["sites", config.site, "systems", sender.system],
    );
  const code = facts.held ?? "";
  if (facts.held !== null && holds[code]) return decision("held", at(...(holds[code] ?? [])));
  const expected = difference.code
    ? refusals[difference.code]
      ? ["validate", ...(refusals[difference.code] ?? [])]
      : holds[difference.code]
    : undefined;
  if (expected) return decision("let pass", at(...expected));
  if (difference.about === "channel") return decision("taken", at("filter"));
  if (difference.about === "findings") return decision("checked", at("validate"));
  if (difference.about === "held")
    return decision("checked", at("validate", difference.text.includes("STUDY") ? "study" : "document", "patient"));
  if (difference.about === "assembled")
    return decision(
      facts.channel && hasAssemble(config, facts.channel) ? "assembled" : "not assembled",
      at("assemble"),
    );
  if (difference.about === "routed" || difference.about === "opensFor") return decision("routed", at("route"));
  if (difference.about === "answer") return decision("answered", ["sites", config.site, "systems", sender.system]);
  if (difference.about === "delivered") {
    if (facts.family.records.length > 0 && facts.routed.length === 0) return decision("not routed", at("route"));
    return delivering(difference, houses);
  }
  return undefined;
}

const refusals: Readonly<Record<string, Path>> = {
  PATIENT_MISMATCH: ["document", "patient"],
  CDA_INVALID: ["document"],
};
const holds: Readonly<Record<string, Path>> = {
  PATIENT_MISMATCH: ["validate", "study", "patient"],
  STUDY_MISSING: ["assemble", "study", "then"],
  STUDY_LATE: ["assemble", "late"],
  DOCUMENT_MISSING: ["assemble", "document"],
  ACCESSION_AMBIGUOUS: ["assemble", "by"],
};

const outbound = ({ own }: Config, system: string): readonly OutboundChannel[] =>
  own.channels.filter(
    (channel): channel is OutboundChannel => channel.kind === "outbound" && channel.source.includes(system),
  );

const hasAssemble = ({ own }: Config, name: string): boolean =>
  own.channels.some(
    (channel: Channel) => channel.name === name && channel.kind === "outbound" && channel.assemble !== undefined,
  );

/** No channel took it: the messages, the processing id, or the documents of the first that comes from this system. */
function filtering(
  config: Config,
  { system, messageType, processingId }: { system: string; messageType: string; processingId: string },
): Path {
  const channels = outbound(config, system);
  const [first] = channels;
  if (!first) return ["sites", config.site, "run"];
  const takes = channels.find(({ filter }) => takesMessage(filter.messages, messageType));
  if (!takes) return ["channels", first.name, "filter", "messages"];
  if (takes.filter.processingId !== processingId) return ["channels", takes.name, "filter", "processingId"];
  return ["channels", takes.name, "filter", "documents"];
}

/** Registered, and not where it should be: what is fetched, and to whom it is delivered. */
function delivering({ to = "" }: Difference, houses: ReadonlyMap<string, House>): Decision | undefined {
  const [site = "", system = ""] = to.split("/");
  const house = houses.get(site);
  if (!house) return undefined;
  const { config, started } = house;
  const inbound = config.own.channels.find(({ kind }) => kind === "inbound");
  if (inbound?.kind !== "inbound") return { what: "not fetched", path: ["sites", site, "run"], config };
  const at = (...rest: Path): Path => ["channels", inbound.name, ...rest];
  if (started.store.records.list({ limit: 1 }).length === 0) {
    const isAsked = started.store.deliveries.list({ limit: 10 }).some(({ kind }) => kind === "fetch");
    return { what: "not fetched", path: at("fetch", isAsked ? "rules" : "when"), config };
  }
  const index = inbound.deliver.findIndex((each) => each.to === system);
  return { what: "not delivered", path: index < 0 ? at("deliver") : at("deliver", index), config };
}
