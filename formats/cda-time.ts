/** HL7 V3 times (TS): digits from the year on, perhaps with a zone; precision and zone are kept as they are written. */

export const precisions = ["year", "month", "day", "hour", "minute", "second", "fraction"] as const;
export type Precision = (typeof precisions)[number];
export type CdaTime = {
  /** As written. */
  readonly text: string;
  readonly precision: Precision;
  /** Such as +0800; null where the document has none (EEC). */
  readonly zone: string | null;
};

const shape = /^(\d{4})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(?:(\d{2})(\.\d{1,6})?)?)?)?)?)?([+-]\d{2}(?:\d{2})?)?$/;

/** A time of the calendar, or undefined. */
export function timeOf(text: string): CdaTime | undefined {
  const found = shape.exec(text);
  if (!found) return undefined;
  const [, year = "", month, day, hour, minute, second, fraction, zone] = found;
  const within = (digits: string | undefined, low: number, high: number): boolean =>
    digits === undefined || (Number(digits) >= low && Number(digits) <= high);
  const days = new Date(Date.UTC(Number(year), Number(month ?? 1), 0)).getUTCDate();
  const isReal =
    Number(year) > 0 &&
    within(month, 1, 12) &&
    within(day, 1, days) &&
    within(hour, 0, 23) &&
    within(minute, 0, 59) &&
    within(second, 0, 60) &&
    within(zone?.slice(1, 3), 0, 14) &&
    within(zone?.slice(3) || undefined, 0, 59);
  const parts = [year, month, day, hour, minute, second, fraction].filter((part) => part !== undefined);
  return isReal ? { text, precision: precisions[parts.length - 1] ?? "year", zone: zone ?? null } : undefined;
}

/** The first instant of a time, in milliseconds since 1970; without a zone it is taken as UTC (ITI TF-3 4.2.3.1.7). Undefined for no time. */
export function instantOf(text: string): number | undefined {
  if (!timeOf(text)) return undefined;
  const [, year = "", month = "01", day = "01", hour = "00", minute = "00", second = "00", , zone = "+0000"] =
    shape.exec(text) ?? [];
  const offset = Number(zone.slice(1, 3)) * 60 + Number(zone.slice(3) || 0);
  const local = Date.UTC(Number(year), Number(month) - 1, Number(day), Number(hour), Number(minute), Number(second));
  return local - (zone.startsWith("-") ? -offset : offset) * 60_000;
}
