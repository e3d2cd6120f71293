/** What a fault of the matrix is, and what a run of it says. */
import type { Chance } from "../../seeded.ts";
import type { Mutant } from "../mutants.ts";
import type { Counted } from "./ledger.ts";

export type Figures = Counted & {
  /** From the end of the fault until all had arrived, in ms; null where nothing is delivered. */
  readonly drainedMs: number | null;
  /** What else was measured. */
  readonly notes: readonly string[];
  /** Criteria of this fault that did not hold. */
  readonly failures: readonly string[];
};

export type TrialContext = {
  readonly random: Chance;
  /** Settings of the processes that the fault is done to: a mutant's. */
  readonly env: Readonly<Record<string, string>>;
  /** It has to be found only: nothing is waited for that will not come. */
  readonly isMutant: boolean;
  readonly told: (text: string) => void;
};

export type Trial = {
  /** Its number in the matrix. */
  readonly id: `F${number}`;
  readonly fault: string;
  /** What has to hold beside: nothing lost, nothing corrupt. */
  readonly criterion: string;
  /** Mutants that it has to find. */
  readonly finds?: readonly Mutant[];
  /** The same done to other programs, by name. */
  readonly peers?: Readonly<Record<string, Run>>;
  readonly run: Run;
};
export type Run = (context: TrialContext) => Promise<Figures>;

export const isPassed = ({ lost, corrupt, failures }: Figures): boolean =>
  lost + corrupt === 0 && failures.length === 0;

/** How long a mutant's queue is waited for, in ms. */
export const mutantMs = 20_000;
