/** Rules of a filter on the values of a message or its document: what is kept, what is dropped, which confidentiality leaves. */
import type { CdaFacts } from "../formats/cda.ts";
import { textsAt, type View, viewOf } from "../formats/cda-view.ts";
import type { MessageFacts } from "../formats/hl7.ts";
import { valuesOf } from "../formats/hl7-edit.ts";
import type { OutboundChannel } from "./config.ts";

type Filter = OutboundChannel["filter"];
type Rule = NonNullable<Filter["keep"]>[number];

/** Whether the message's own values pass; rules on the document are asked later. */
export function takesFields({ keep, drop }: Filter, message: Uint8Array, facts: MessageFacts): boolean {
  const holds = (rule: Rule): boolean =>
    rule.field !== undefined && isAmong(valuesOf(message, facts, rule.field), rule.is);
  return keep.every((rule) => rule.field === undefined || holds(rule)) && !drop.some(holds);
}

/** Whether the document passes: its confidentiality, then the values of its JSON view. */
export function takesDocument({ keep, drop, confidentiality }: Filter, bytes: Uint8Array, cda: CdaFacts): boolean {
  if (confidentiality && !confidentiality.some((code) => code === cda.confidentialityCode)) return false;
  let view: View | undefined;
  const holds = (rule: Rule): boolean => {
    if (rule.document === undefined) return false;
    view ??= viewOf(bytes);
    return isAmong(textsAt(view, rule.document), rule.is);
  };
  return keep.every((rule) => rule.document === undefined || holds(rule)) && !drop.some(holds);
}

/** One of the values is wanted; an empty text stands for "not there". */
const isAmong = (values: readonly string[], wanted: readonly string[]): boolean =>
  values.some((value) => wanted.includes(value)) || (values.length === 0 && wanted.includes(""));
