/** Station `filter`: which channel takes a message's document. What no channel takes is acknowledged and counted, not sealed. */
import type { CdaFacts } from "../formats/cda.ts";
import { eecForms } from "../formats/command.ts";
import type { MessageFacts } from "../formats/hl7.ts";
import { isMerge, isUnlink } from "../formats/hl7-merge.ts";
import { inboundChannels, outboundChannels } from "./channels.ts";
import type { Config, InboundChannel, OutboundChannel } from "./config.ts";
import { takesDocument, takesFields } from "./filter-rules.ts";

/** "MDM" takes every MDM; "ORU^R01" that event alone. */
export const takesMessage = (wanted: readonly string[], messageType: string): boolean =>
  wanted.some((type) => type === messageType || messageType.startsWith(`${type}^`));

/** The outbound channels of a system that take this kind of message at all, in the order of `run`. */
export function candidates(
  config: Config,
  system: string,
  message: MessageFacts,
  bytes: Uint8Array,
): readonly OutboundChannel[] {
  return outboundChannels(config).filter(
    ({ source, filter }) =>
      source.includes(system) &&
      takesMessage(filter.messages, message.messageType) &&
      filter.processingId === message.processingId &&
      takesFields(filter, bytes, message),
  );
}

/** Whether nothing here is done with such a message: no channel takes it and it announces nobody. */
export const isTakenByNone = (config: Config, system: string, message: MessageFacts, bytes: Uint8Array): boolean =>
  candidates(config, system, message, bytes).length === 0 &&
  admissionChannel(config, system, message) === undefined &&
  cancelledAdmission(config, system, message) === undefined &&
  !takesMerges(config, system, message);

/** The first of the channels that takes this document. */
export const channelOf = (
  channels: readonly OutboundChannel[],
  cda: CdaFacts,
  bytes: Uint8Array,
): OutboundChannel | undefined =>
  channels.find(
    ({ filter }) =>
      filter.documents.some((wanted) => kinds[wanted]?.(cda) ?? cda.form === wanted) &&
      takesDocument(filter, bytes, cda),
  );

const kinds: Readonly<Record<string, (cda: CdaFacts) => boolean>> = {
  "refers-to-study": ({ studyUids, accessionNumbers }) => studyUids.length + accessionNumbers.length > 0,
  other: ({ form }) => form === null || !eecForms.includes(form),
};

/** The channel that takes instances from this system. */
export const instanceChannel = (config: Config, system: string): OutboundChannel | undefined =>
  outboundChannels(config).find(({ source, assemble }) => source.includes(system) && assemble !== undefined);

/** MSH-11 of what is meant (HL7 Table 0103); the rest is for training and debugging. */
const production = "P";

const cancelAdmit = "ADT^A11";

/** The inbound channel whose fetch ends when this message takes an admission back (HL7 v2.5.1 3.3.11). */
export const cancelledAdmission = (
  config: Config,
  system: string,
  { messageType, processingId }: MessageFacts,
): InboundChannel | undefined =>
  messageType === cancelAdmit && processingId === production
    ? inboundChannels(config).find((channel) => admits(channel, system))
    : undefined;

/** Whether a channel fetches for admissions of this system. */
const admits = ({ fetch }: InboundChannel, system: string): boolean =>
  fetch.when.some((when) => "admission" in when && when.admission === system);

/** Whether a message merges patients, or takes that back, of a system that a channel takes something from: of all its channels at once. */
export const takesMerges = ({ own }: Config, system: string, message: MessageFacts): boolean =>
  (isMerge(message) || isUnlink(message)) &&
  message.processingId === production &&
  own.channels.some((channel) =>
    channel.kind === "outbound" ? channel.source.includes(system) : admits(channel, system),
  );

/** The inbound channel that fetches when this message announces a patient, and how often it asks again. */
export function admissionChannel(
  config: Config,
  system: string,
  message: MessageFacts,
): { readonly channel: InboundChannel; readonly again: readonly number[]; readonly every: number } | undefined {
  if (message.processingId !== production) return undefined;
  for (const channel of inboundChannels(config))
    for (const when of channel.fetch.when)
      if ("admission" in when && when.admission === system && takesMessage(when.messages, message.messageType))
        return { channel, again: when.again, every: when.every };
  return undefined;
}
