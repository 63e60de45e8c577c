import type { Sprite } from '../../emoji/art.ts';
import { between, type Random } from '../../emoji/random.ts';
import { type Paint, PLAIN, type WarpedObject } from '../../emoji/warp.ts';

/** How far training pictures stray from the drawings. */
export interface Augmentation {
  /** Radians that objects are turned by at most. */
  readonly turn: number;
  /** How much wider than high, sheared, and larger or smaller they become at most. */
  readonly stretch: number;
  readonly shear: number;
  readonly scale: number;
  /** Radians that hues are turned by at most. */
  readonly hue: number;
  /** The chances of hardly any colour, of another hand's palette, and of a hidden part. */
  readonly fade: number;
  readonly palette: number;
  readonly hide: number;
}

/** From offsets in the picture to those in a sprite that is `factor` times as large: the inverse of mirror, turn, shear and stretch. */
export function warp(random: Random, factor: number, by: Augmentation): WarpedObject['matrix'] {
  const angle = between(random, -by.turn, by.turn);
  const stretch = Math.exp(between(random, -by.stretch, by.stretch));
  const shear = between(random, -by.shear, by.shear);
  const size = factor * Math.exp(between(random, -by.scale, by.scale));
  const mirror = random() < 0.5 ? -1 : 1;
  const [cos, sin] = [Math.cos(angle), Math.sin(angle)];
  return [
    mirror * size * stretch * (cos + shear * sin),
    mirror * size * stretch * (-sin + shear * cos),
    (size / stretch) * sin,
    (size / stretch) * cos,
  ];
}

/** A turn of the hue, more or less saturation, brightness and contrast, and sometimes the palette of another drawing of the same. */
export function paint(random: Random, sprite: Sprite, other: Sprite, by: Augmentation): Paint {
  const angle = between(random, -by.hue, by.hue);
  const saturation = random() < by.fade ? between(random, 0, 0.5) : between(random, 0.6, 1.4);
  const contrast = between(random, 0.75, 1.25);
  const lift = between(random, -25, 25) + 128 * (1 - contrast);
  // A turn about the grey axis mixes the channels by a circulant matrix; saturation then blends between grey and that.
  const entry = (i: number): number => {
    const turned = (1 + 2 * Math.cos(angle + (i * 2 * Math.PI) / 3)) / 3;
    return contrast * (saturation * turned + (1 - saturation) / 3);
  };
  const [a, b, c] = [entry(0), entry(1), entry(2)];
  const tint: Paint = [a, c, b, lift, b, a, c, lift, c, b, a, lift];
  return random() < by.palette ? after(tint, repaint(colours(sprite), colours(other), random())) : tint;
}

/** First `inner`, then `outer`. */
function after(outer: Paint, inner: Paint): Paint {
  return PLAIN.map((_, i) => {
    const [row, column] = [Math.floor(i / 4), i % 4];
    let sum = column === 3 ? (outer[4 * row + 3] as number) : 0;
    for (let k = 0; k < 3; k++) sum += (outer[4 * row + k] as number) * (inner[4 * k + column] as number);
    return sum;
  });
}

/** Moves each channel's mean and spread towards those of another drawing. */
function repaint(own: readonly Spread[], other: readonly Spread[], share: number): Paint {
  return own.flatMap(({ mean, deviation }, row) => {
    const wanted = other[row] as Spread;
    const gain = 1 + share * (Math.min(2, (wanted.deviation + 8) / (deviation + 8)) - 1);
    const line = [0, 0, 0, mean + share * (wanted.mean - mean) - gain * mean];
    line[row] = gain;
    return line;
  });
}

interface Spread {
  readonly mean: number;
  readonly deviation: number;
}

const spreads = new WeakMap<Sprite, readonly Spread[]>();

/** Mean and standard deviation of red, green and blue over what is drawn. */
function colours(sprite: Sprite): readonly Spread[] {
  const known = spreads.get(sprite);
  if (known !== undefined) return known;
  const { pixels } = sprite;
  const made = [0, 1, 2].map((channel) => {
    let [weight, sum, squares] = [0, 0, 0];
    for (let at = 0; at < pixels.length; at += 4) {
      const [value, alpha] = [pixels[at + channel] as number, pixels[at + 3] as number];
      weight += alpha;
      sum += alpha * value;
      squares += alpha * value * value;
    }
    const mean = sum / weight;
    return { mean, deviation: Math.sqrt(Math.max(0, squares / weight - mean * mean)) };
  });
  spreads.set(sprite, made);
  return made;
}
