/** The fault matrix, in its order. F14 is of a store that this program does not have, F21 a test of its own. */
import { kill } from "./f01-kill.ts";
import { power } from "./f02-power.ts";
import { full } from "./f03-full.ts";
import { eio } from "./f04-eio.ts";
import { slow } from "./f05-slow.ts";
import { flips } from "./f06-flips.ts";
import { term } from "./f07-term.ts";
import { silence } from "./f08-silence.ts";
import { cable } from "./f09-cable.ts";
import { fewDescriptors } from "./f10-descriptors.ts";
import { memory } from "./f11-memory.ts";
import { clock } from "./f12-clock.ts";
import { drip } from "./f13-drip.ts";
import { poison } from "./f18-poison.ts";
import { badReload } from "./f19-reload.ts";
import { story } from "./f20-story.ts";
import { upgrade } from "./f22-upgrade.ts";
import { bombs, fuzzers, hostilePdus } from "./suites.ts";
import type { Trial } from "./trial.ts";

export const trials: readonly Trial[] = [
  kill,
  power,
  full,
  eio,
  slow,
  flips,
  term,
  silence,
  cable,
  fewDescriptors,
  memory,
  clock,
  drip,
  hostilePdus,
  bombs,
  fuzzers,
  poison,
  badReload,
  story,
  upgrade,
];
