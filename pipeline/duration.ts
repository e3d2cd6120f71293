/** Durations and sizes as people write them: 250ms, 5s, 1m, 12h, 180d; 64MiB. */
const units: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** Milliseconds, or undefined if this is not a duration. */
export function parseDuration(text: string): number | undefined {
  const [, count = "", unit = ""] = /^(\d{1,9})(ms|s|m|h|d)$/.exec(text) ?? [];
  const factor = units[unit];
  return factor === undefined ? undefined : Number(count) * factor;
}

const sizes: Readonly<Record<string, number>> = { KiB: 1024, MiB: 1024 ** 2, GiB: 1024 ** 3 };

/** Octets, or undefined if this is not a size. */
export function parseSize(text: string): number | undefined {
  if (text === "0") return 0;
  const [, count = "", unit = ""] = /^(\d{1,6})(KiB|MiB|GiB)$/.exec(text) ?? [];
  const factor = sizes[unit];
  return factor === undefined ? undefined : Number(count) * factor;
}

/** Octets for a person: 512 B, 1.5 MiB. */
export function sizeText(bytes: number): string {
  const [unit, factor] = Object.entries(sizes).findLast(([, each]) => bytes >= each) ?? ["B", 1];
  return `${Number((bytes / factor).toFixed(1))} ${unit}`;
}
