import type { Letters } from './letters.ts';
import type { Curve } from './section.ts';

/** Pixels of a plot with its axes' numbers and the names of its curves. */
export const PLOT = { width: 560, height: 250 } as const;
const INSIDE = { left: 52, top: 12, right: 150, bottom: 40 } as const;
const COLOURS = ['#1f6fb2', '#c4561c', '#2f8f3a', '#7a3fa0', '#a02030', '#555'];

/** Curves over common axes, as the inside of an SVG whose top left corner is at (left, top). Letters are paths, so that it looks the same anywhere. */
export function plot(curves: readonly Curve[], names: { x: string; y: string }, letters: Letters, left = 0, top = 0): string {
  const points = curves.flatMap((curve) => curve.points).filter((point) => point.every(Number.isFinite));
  const xs = range(points.map(([x]) => x));
  const ys = range(
    points.map(([, y]) => y),
    0,
  );
  const [x0, y0] = [left + INSIDE.left, top + PLOT.height - INSIDE.bottom];
  const [width, height] = [PLOT.width - INSIDE.left - INSIDE.right, PLOT.height - INSIDE.top - INSIDE.bottom];
  const at = (x: number, y: number): string =>
    `${(x0 + (width * (x - xs.low)) / (xs.high - xs.low)).toFixed(1)} ${(y0 - (height * (y - ys.low)) / (ys.high - ys.low)).toFixed(1)}`;
  const parts = [`<path d="M${x0} ${y0 - height}V${y0}H${x0 + width}" fill="none" stroke="#999"/>`];
  for (const tick of ticks(ys)) {
    const y = y0 - (height * (tick - ys.low)) / (ys.high - ys.low);
    parts.push(
      `<path d="M${x0} ${y.toFixed(1)}h${width}" stroke="#eee"/>`,
      letters.path(short(tick), left + 14, y + 4, 11, '#777'),
    );
  }
  for (const tick of ticks(xs)) {
    const x = x0 + (width * (tick - xs.low)) / (xs.high - xs.low);
    parts.push(letters.path(short(tick), x - letters.width(short(tick), 11) / 2, y0 + 15, 11, '#777'));
  }
  parts.push(letters.path(names.x, x0 + width - letters.width(names.x, 12), y0 + 32, 12, '#777'));
  parts.push(letters.path(names.y, x0 + 6, top + INSIDE.top + 8, 12, '#777'));
  for (const [i, curve] of curves.entries()) {
    const colour = COLOURS[i % COLOURS.length] as string;
    const line = thinned(curve.points).map(([x, y]) => at(x, y));
    parts.push(`<path d="M${line.join('L')}" fill="none" stroke="${colour}" stroke-width="1.5"/>`);
    parts.push(letters.path(curve.name, x0 + width + 12, top + INSIDE.top + 14 + 18 * i, 12, colour));
  }
  return parts.join('');
}

/** Means of neighbouring points, so that there are at most so many. */
export function thinned(points: Curve['points'], most = 120): Curve['points'] {
  const finite = points.filter((point) => point.every(Number.isFinite));
  const each = Math.ceil(finite.length / most);
  const mean = (some: Curve['points'], i: 0 | 1): number => some.reduce((sum, point) => sum + point[i], 0) / some.length;
  return Array.from({ length: Math.ceil(finite.length / Math.max(1, each)) }, (_, i) => {
    const some = finite.slice(i * each, (i + 1) * each);
    return [mean(some, 0), mean(some, 1)] as const;
  });
}

interface Range {
  readonly low: number;
  readonly high: number;
}

function range(values: readonly number[], include?: number): Range {
  const all = include === undefined ? values : [...values, include];
  const [low, high] = all.length === 0 ? [0, 1] : [Math.min(...all), Math.max(...all)];
  return { low, high: high > low ? high : low + 1 };
}

/** About four round numbers within the range. */
function ticks({ low, high }: Range): number[] {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough) as number;
  const first = Math.ceil(low / step) * step;
  return Array.from({ length: Math.floor((high - first) / step + 1e-9) + 1 }, (_, i) => first + i * step);
}

function short(value: number): string {
  return String(Number(value.toPrecision(3)));
}
