// N tokens, H width of the hidden states, V vocabulary, C tokens of a chunk.
import { ArgumentError } from '../native/errors.ts';
import { checkTensors } from '../tensor/base.ts';
import { cat, isGradEnabled, linear, noGrad, scope, type Tensor, where, zeros } from '../tensor/index.ts';

/** Options of {@link linearCrossEntropy}. */
export interface LinearCrossEntropyOptions {
  /** ε of the smoothed targets (1 − ε)·y + ε/V; 0 unless told. */
  labelSmoothing?: number;
  /** Targets of this value do not count; null where all do. −100 unless told. */
  ignoreIndex?: number | null;
  /** Tokens whose logits exist at a time; as many as fit {@link CHUNK_LOGITS} unless told. */
  chunk?: number;
}

/** What {@link linearCrossEntropy} gives. */
export interface TokenLosses {
  /** The mean over the targets that count, `[]`; 0 where none does. */
  readonly loss: Tensor;
  /** Share of these targets that no other word has a greater logit than, `[]`, without gradient. */
  readonly accuracy: Tensor;
}

/**
 * Logits at a time unless told: 32 MiB of them in float32. The table is read twice a chunk, so that small chunks are slow: at 50,304 words
 * of 768 numbers, 16 tokens a chunk take more than twice the time of 160, and these about as long as all at once.
 */
const CHUNK_LOGITS = 2 ** 23;

/**
 * Mean cross-entropy of the tokens that a linear layer without bias makes of hidden states, logits = h·Wᵀ:
 * (1 − ε)·(−log p_y) + ε/V·Σ_v(−log p_v), the softmax in float32.
 *
 * Logits exist for a chunk of tokens at a time, and not for longer: with them the gradients of h (and of W, where W asks for one) are made at
 * once, dh = (p − y)·W, and kept, N·H numbers instead of N·V. The backward pass multiplies them by what arrives there.
 *
 * @param hidden `[N, H]`, of positions that have a target
 * @param weight `[V, H]`, such as a word embedding; frozen or trained
 * @param targets `[N]` int64
 * @throws ArgumentError for shapes that do not fit
 */
export function linearCrossEntropy(
  hidden: Tensor,
  weight: Tensor,
  targets: Tensor,
  options: LinearCrossEntropyOptions = {},
): TokenLosses {
  check(hidden, weight, targets, options);
  return scope(() => {
    const { ignoreIndex = -100 } = options;
    const counts = ignoreIndex === null ? null : targets.ne(ignoreIndex);
    const states = counts === null ? hidden : none(hidden, counts.unsqueeze(1));
    const recording = isGradEnabled();
    const wanted = { hidden: recording && hidden.requiresGrad, weight: recording && weight.requiresGrad };
    const made = noGrad(() => scope(() => inChunks(states.detach(), weight.detach(), targets, counts, options, wanted)));
    const { loss, accuracy, count } = made;
    // Σ h·dh has the gradient dh; its own value is taken off again.
    const products = [
      ...(made.hidden === null ? [] : [product(states, made.hidden)]),
      ...(made.weight === null ? [] : [product(weight, made.weight)]),
    ];
    if (products.length === 0) return { loss, accuracy };
    const through = products.reduce((sum, term) => sum.add(term)).div(count);
    return { loss: loss.add(through.sub(through.detach())), accuracy };
  });
}

/** Σ x·g, in g's numbers. */
function product(x: Tensor, gradient: Tensor): Tensor {
  return x.to(gradient.dtype).mul(gradient).sum();
}

/** Sums over all chunks; gradients as of the sum of the losses, null where not wanted. */
interface Sums {
  readonly loss: Tensor;
  readonly accuracy: Tensor;
  /** Targets that count, at least 1. */
  readonly count: Tensor | number;
  readonly hidden: Tensor | null;
  readonly weight: Tensor | null;
}

function inChunks(
  hidden: Tensor,
  weight: Tensor,
  targets: Tensor,
  counts: Tensor | null,
  options: LinearCrossEntropyOptions,
  wanted: { readonly hidden: boolean; readonly weight: boolean },
): Sums {
  const { labelSmoothing: smoothing = 0 } = options;
  const [tokens, words] = [hidden.size(0), weight.size(0)];
  const { chunk = Math.max(1, Math.floor(CHUNK_LOGITS / words)) } = options;
  const { device } = hidden;
  const wide = hidden.dtype === 'float64' ? 'float64' : 'float32';
  const known = counts === null ? targets : targets.maskedFill(counts.logicalNot(), 0);
  const count = counts === null ? Math.max(1, tokens) : counts.sum().clamp(1);
  const weightGradient = wanted.weight ? zeros([words, weight.size(1)], { dtype: wide, device }) : null;
  const parts = Array.from({ length: Math.ceil(tokens / chunk) }, (_, i) =>
    scope(() => {
      const start = i * chunk;
      const take = (x: Tensor): Tensor => x.narrow(0, start, Math.min(chunk, tokens - start));
      const [states, own] = [take(hidden), take(known).unsqueeze(1)];
      const counted = counts === null ? null : take(counts).unsqueeze(1);
      const logits = linear(states, weight);
      const logs = logits.logSoftmax(1, wide);
      logits.dispose();
      const ofOwn = logs.gather(1, own);
      const smoothed = smoothing === 0 ? ofOwn : ofOwn.mul(1 - smoothing).add(logs.mean(1, true).mul(smoothing));
      const loss = none(smoothed, counted).sum().neg();
      const right = none(ofOwn.ge(logs.amax(1, true)), counted).sum();
      if (!wanted.hidden && !wanted.weight) return { loss, right, gradient: null };
      const errors = logs.exp_(); // p, and then p − y
      if (smoothing > 0) errors.sub_(smoothing / words);
      errors.scatter_(1, own, ofOwn.exp().sub(smoothing / words + 1 - smoothing));
      const narrow = errors.to(weight.dtype);
      weightGradient?.add_(narrow.transpose(0, 1).matmul(states.to(narrow.dtype)));
      const gradient = wanted.hidden ? none(narrow.matmul(weight).to(wide), counted) : null;
      return { loss, right, gradient };
    }),
  );
  const zero = zeros([], { dtype: wide, device });
  const sum = (values: readonly Tensor[]): Tensor => values.reduce((total, value) => total.add(value), zero);
  const gradients = parts.flatMap(({ gradient }) => gradient ?? []);
  return {
    loss: sum(parts.map(({ loss }) => loss)).div(count),
    accuracy: sum(parts.map(({ right }) => right)).div(count),
    count,
    hidden: gradients.length === 0 ? null : cat(gradients),
    weight: weightGradient,
  };
}

/** Zeros, whatever else there was, in rows that do not count `[N, 1]`; null where all do. */
function none(rows: Tensor, counted: Tensor | null): Tensor {
  return counted === null ? rows : where(counted, rows, zeros([], { dtype: rows.dtype, device: rows.device }));
}

function check(hidden: Tensor, weight: Tensor, targets: Tensor, options: LinearCrossEntropyOptions): void {
  checkTensors({ hidden, weight, targets });
  const shown = (x: Tensor): string => `[${x.shape.join(', ')}]`;
  if (hidden.ndim !== 2) throw new ArgumentError('hidden', '[N, H]', shown(hidden));
  const [tokens, width] = hidden.shape as readonly [number, number];
  if (weight.ndim !== 2 || weight.size(1) !== width) throw new ArgumentError('weight', `[V, ${width}]`, shown(weight));
  if (targets.ndim !== 1 || targets.size(0) !== tokens) throw new ArgumentError('targets', `[${tokens}]`, shown(targets));
  const { labelSmoothing = 0, chunk = 1 } = options;
  if (!(labelSmoothing >= 0 && labelSmoothing < 1)) {
    throw new ArgumentError('labelSmoothing', 'a number from 0 to below 1', String(labelSmoothing));
  }
  if (!Number.isSafeInteger(chunk) || chunk < 1) throw new ArgumentError('chunk', 'a positive integer', String(chunk));
}
