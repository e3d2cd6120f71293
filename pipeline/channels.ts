/** The channels that a site runs, in the order of `run`, by their corridor. */
import type { Config, InboundChannel, OutboundChannel } from "./config.ts";

type Configured = Pick<Config, "own">;

export const outboundChannels = ({ own }: Configured): readonly OutboundChannel[] =>
  own.channels.filter((channel) => channel.kind === "outbound");

export const inboundChannels = ({ own }: Configured): readonly InboundChannel[] =>
  own.channels.filter((channel) => channel.kind === "inbound");
