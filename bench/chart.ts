/** Ours beside the peers, as bars on a logarithmic scale: right of the line ours is faster. */
import type { Report } from "./report.ts";

const [width, rowHeight, left, right, top] = [920, 26, 430, 120, 48] as const;
/** Ratios beyond these are drawn at the edge, and their figure says what they are. */
const [least, most] = [0.1, 100] as const;

type Bar = { readonly label: string; readonly ratio: number };

export function chartOf({ rows, date }: Report): string {
  const bars = rows.flatMap(({ name, peers }) =>
    peers.flatMap((peer): Bar[] =>
      peer.ratio === null ? [] : [{ label: `${shortened(name)} · ${peer.name}`, ratio: peer.ratio }],
    ),
  );
  const height = top + bars.length * rowHeight + 24;
  const one = x(1);
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" font-family="sans-serif" font-size="12" role="img">`,
    `<title>Rates of semrs divided by those of each peer, ${date}</title>`,
    `<rect width="${width}" height="${height}" fill="#fff"/>`,
    ...[0.1, 1, 10, 100].flatMap((ratio) => [
      `<line x1="${x(ratio)}" y1="${top - 8}" x2="${x(ratio)}" y2="${height - 16}" stroke="${ratio === 1 ? "#333" : "#ddd"}"/>`,
      `<text x="${x(ratio)}" y="${top - 14}" text-anchor="middle" fill="#333">${ratio} ×</text>`,
    ]),
    ...bars.flatMap(({ label, ratio }, n) => {
      const [y, at] = [top + n * rowHeight, x(ratio)];
      const colour = ratio >= 1 ? "#1b7f4b" : "#b5482a";
      return [
        `<text x="${left - 10}" y="${y + 14}" text-anchor="end" fill="#333">${escaped(label)}</text>`,
        `<rect x="${Math.min(one, at)}" y="${y + 3}" width="${Math.max(1, Math.abs(at - one))}" height="15" fill="${colour}"/>`,
        `<text x="${Math.max(one, at) + 6}" y="${y + 14}" fill="#333">${ratio} ×</text>`,
      ];
    }),
    "</svg>",
    "",
  ].join("\n");
}

function x(ratio: number): number {
  const held = Math.min(most, Math.max(least, ratio));
  const share = (Math.log10(held) - Math.log10(least)) / (Math.log10(most) - Math.log10(least));
  return Math.round(left + share * (width - left - right));
}

const maxLabel = 44;
const shortened = (name: string): string => (name.length <= maxLabel ? name : `${name.slice(0, maxLabel - 1)}…`);
const escaped = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
