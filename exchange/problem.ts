/**
 * What a REST peer is told when something fails (RFC 9457). Until a signature is verified the answer is clear and
 * generic: one `unopenable` for everything cryptographic. After it, the refusal is sealed and signed: it is evidence.
 */
import { randomUUID } from "node:crypto";
import { setTimeout as wait } from "node:timers/promises";
import type { Response } from "express";
import { codeOf, type ErrorCode } from "../errors.ts";

export type Problem = {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly instance: string;
};

/** Problems that may be told in clear before the sender is known (SPEC.md, "Refusals outside"). */
const clear: Partial<Record<ErrorCode, { readonly name: string; readonly title: string; readonly status: number }>> = {
  ENVELOPE_MALFORMED: { name: "malformed", title: "The envelope is not well-formed.", status: 400 },
  TOO_LARGE: { name: "too-large", title: "The envelope is larger than this resource takes.", status: 413 },
  ENVELOPE_UNSUPPORTED: { name: "unsupported-profile", title: "No envelope profile of ours.", status: 415 },
  PEER_BUSY: { name: "busy", title: "Too many at once; try again.", status: 429 },
  STORE_FULL: { name: "unavailable", title: "No storage left; try again later.", status: 503 },
  STOPPING: { name: "unavailable", title: "This site is stopping; try again.", status: 503 },
  REVOCATION_STALE: { name: "unavailable", title: "Something failed here; try again.", status: 503 },
  CLOCK_BEHIND: { name: "unavailable", title: "Something failed here; try again.", status: 503 },
  UNEXPECTED: { name: "unavailable", title: "Something failed here; try again.", status: 503 },
};
const unopenable = { name: "unopenable", title: "The envelope could not be opened.", status: 422 };

/** The clear problem for what was thrown before the sender was verified. `instance` is random: it joins the peer's report to our log. */
export function clearProblem(thrown: unknown, instance: string): Problem {
  const { name, title, status } = clear[codeOf(thrown)] ?? unopenable;
  return { type: `urn:semrs:problem:${name}`, title, status, instance: `urn:uuid:${instance}` };
}

export const problemMediaType = "application/problem+json";

/** The uniform failure answer goes out on a tick of this length, so that its time tells nothing (refusal 85). */
const tickMs = 100;
export const tick = (): Promise<void> => wait(tickMs - (Date.now() % tickMs));

/** Tells it in clear, on the next tick. */
export async function refuseInClear(response: Response, thrown: unknown): Promise<void> {
  const problem = clearProblem(thrown, randomUUID());
  await tick();
  if (problem.status === 429 || problem.status === 503) response.setHeader("Retry-After", "5");
  response.status(problem.status).type(problemMediaType).send(JSON.stringify(problem));
}
