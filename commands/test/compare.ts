/** Expectations against facts: each difference in words, and with what it is about, so that the deciding line can be named. */
import { nearest } from "../../pipeline/config-suggest.ts";
import type { Facts } from "./facts.ts";
import { fieldOf } from "./fields.ts";
import type { Receiver } from "./receivers.ts";
import type { Delivered, Expectations, Sending } from "./schema.ts";
import type { Answered, Sent } from "./send.ts";

/** What differs; `about` is the expectation's key. */
export type Difference = {
  readonly about: keyof Expectations | "answer";
  readonly text: string;
  /** Of a delivery: the system it is about. */
  readonly to?: string;
  /** The code that was expected. */
  readonly code?: string;
  /** Nothing that is still to come changes it. */
  readonly isFinal?: true;
};

/** What a system was answered against what the test says. */
export function answerDifferences({ to, expect }: Sending, answers: readonly Answered[]): readonly Difference[] {
  return Object.entries(expect ?? {}).flatMap(([key, wanted]) =>
    answers
      .filter((answer) => (answer[key as keyof Answered] ?? "") !== wanted)
      .slice(0, 1)
      .map(({ ack, err, error, status, controlId }) => {
        const got = [ack, err, error, status].filter((part) => part).join(" ") || "nothing";
        return {
          about: "answer" as const,
          ...(expect?.error ? { code: expect.error } : {}),
          text: `expected ${to} to be answered ${wanted}, got ${got} (${controlId})`,
        };
      }),
  );
}

/** What became of it against what the test says, station by station. */
export function factDifferences(expect: Expectations, facts: Facts): readonly Difference[] {
  const { channel, findings, held, entry, assembled, opensFor, routed } = expect;
  const wanted = facts.entry as Readonly<Record<string, unknown>> | undefined;
  return [
    ...(channel === undefined ? [] : differ("channel", channel ?? "none", facts.channel ?? "none")),
    ...(findings === undefined ? [] : listed("findings", findings, facts.findings)),
    ...(held === undefined
      ? []
      : differ("held", held ?? "not held", facts.held ?? "not held").map((each) => ({
          ...each,
          ...(held ? { code: held } : {}),
          ...(facts.held === null || (held && mayBeHeld(facts)) ? {} : { isFinal: true as const }),
        }))),
    ...Object.entries(entry ?? {}).flatMap(([key, value]) => {
      if (wanted && !(key in wanted)) {
        const meant = nearest(key, Object.keys(wanted));
        return [
          { about: "entry" as const, text: `entry: there is no ${key}${meant ? `; did you mean "${meant}"?` : ""}` },
        ];
      }
      return differ("entry", `${key} ${text(value)}`, wanted ? `${key} ${text(wanted[key])}` : "no document");
    }),
    ...(assembled === undefined
      ? []
      : differ(
          "assembled",
          `${assembled.instances} instances`,
          facts.instances === undefined ? "no record" : `${facts.instances} instances`,
        )),
    ...(opensFor === undefined ? [] : listed("opensFor", opensFor, facts.opensFor)),
    ...(routed === undefined ? [] : listed("routed", routed, facts.routed)),
  ];
}

/** What waits may be held for another reason than what is held. */
const mayBeHeld = ({ family }: Facts): boolean => family.items.some(({ state }) => state === "waiting");

/** What systems received against what the test says; an empty list means that nothing is delivered anywhere. */
export function deliveryDifferences(
  expected: readonly Delivered[] | undefined,
  receivers: ReadonlyMap<string, Receiver>,
  sent: Sent,
  full: (system: string) => string,
): readonly Difference[] {
  if (expected === undefined) return [];
  if (expected.length === 0) {
    return [...receivers].flatMap(([name, { messages, instances }]) =>
      messages.length + instances.size === 0
        ? []
        : [
            {
              about: "delivered" as const,
              to: name,
              isFinal: true as const,
              text: `expected nothing, ${name} got ${messages.length} messages, ${instances.size} instances`,
            },
          ],
    );
  }
  return expected.flatMap((wanted) => {
    const to = full(wanted.to);
    const receiver = receivers.get(to);
    const difference = receiver ? oneDelivery(wanted, receiver, sent) : "no such system that is delivered to";
    return difference ? [{ about: "delivered" as const, to, text: `${to}: ${difference}` }] : [];
  });
}

function oneDelivery(
  { message, fields, instances, document }: Delivered,
  receiver: Receiver,
  sent: Sent,
): string | undefined {
  const typed = receiver.messages.filter((each) => message === undefined || fieldOf(each, "MSH-9").startsWith(message));
  const wanted = [message ?? "a message", ...Object.entries(fields).map((pair) => pair.join(" "))].join(" ");
  if (message !== undefined || Object.keys(fields).length > 0) {
    const match = typed.some((each) => Object.entries(fields).every(([name, value]) => fieldOf(each, name) === value));
    if (!match) {
      const got = receiver.messages.map((each) =>
        [fieldOf(each, "MSH-9"), ...Object.keys(fields).map((name) => `${name} ${fieldOf(each, name)}`)].join(" "),
      );
      return `expected ${wanted}, got ${got.join("; ") || "nothing"}`;
    }
  }
  if (document && sent.documents.size === 0) return "expected the document octet for octet, and none was sent";
  if (document && ![...sent.documents].every((digest) => receiver.documents.has(digest)))
    return `expected the document octet for octet, got ${receiver.documents.size} other documents`;
  if (instances === undefined)
    return receiver.messages.length + receiver.instances.size === 0 ? "expected something, got nothing" : undefined;
  const equal = [...receiver.instances].filter(([uid, digest]) => sent.instances.get(uid) === digest).length;
  return equal === instances && receiver.instances.size === instances
    ? undefined
    : `expected ${instances} instances octet for octet, got ${receiver.instances.size}, ${equal} of them equal`;
}

const differ = (about: Difference["about"], wanted: string, got: string): readonly Difference[] =>
  wanted === got ? [] : [{ about, text: `${about}: expected ${wanted}, got ${got}` }];

/** What was found, sealed for or signed stays so: only a message takes it back, and all that a test sends has settled. */
const listed = (about: Difference["about"], wanted: readonly string[], got: readonly string[]): readonly Difference[] =>
  differ(about, list(wanted), list(got)).map((each) => ({
    ...each,
    ...(got.some((value) => !wanted.includes(value)) ? { isFinal: true as const } : {}),
  }));

const list = (values: readonly string[]): string => [...values].sort().join(", ") || "none";
const text = (value: unknown): string => (typeof value === "string" ? value : JSON.stringify(value ?? null));
