/** The demo's closing table: every document and instance, as it was sent and as it was received. */

export type Pair = { readonly what: string; readonly key: string; readonly sent: string };
export type Compared = Pair & { readonly received: string | undefined };

/** Lines of a table; a digest is shown by its first and last eight digits. */
export function digestTable(pairs: readonly Compared[]): readonly string[] {
  const width = Math.max(...pairs.map(({ what }) => what.length), 8);
  const rows = pairs.map(({ what, sent, received }) => {
    const verdict = received === sent ? "equal" : received === undefined ? "MISSING" : "DIFFERENT";
    return `  ${what.padEnd(width)}  ${short(sent)}  ${received ? short(received) : "—".padEnd(19)}  ${verdict}`;
  });
  return [
    "",
    `  ${"".padEnd(width)}  ${"SHA-256 sent by A".padEnd(19)}  ${"SHA-256 received by B".padEnd(19)}`,
    ...rows,
    "",
  ];
}

const short = (digest: string): string => `${digest.slice(0, 8)} … ${digest.slice(-8)}`;
