/** What comes first of a message's answer and its verdict, as its sender asks for it (MSH-15/16) and `answer` says. */
import { acksOf, type MessageFacts } from "../formats/hl7.ts";
import type { Config } from "./config.ts";

type Configured = Pick<Config, "own">;

/** Without an application acknowledgement nobody would hear the verdict (HL7 v2.5.1 2.9.3). */
export function isAnsweredFirst({ own }: Configured, system: string, facts: MessageFacts): boolean {
  const { application } = acksOf(facts);
  return own.systems[system]?.mllp?.answer === "stored" || !(application(true) || application(false));
}

/** Whether nothing is answered before the verdict, however long that takes: then one commit keeps both (decision 0013). */
export function isAnsweredLast({ own }: Configured, system: string, facts: MessageFacts): boolean {
  const { answer, within } = own.systems[system]?.mllp ?? {};
  const { commit, application } = acksOf(facts);
  return answer !== "stored" && within === undefined && application(true) && !commit(true);
}
