import { anObject, checkArgument, having } from '../native/arguments.ts';
import { ArgumentError } from '../native/errors.ts';
import { clearGradients, full, gradients, keep, noGrad, scope, Tensor, zeros, zerosLike } from '../tensor/index.ts';
import { fusedAdamW_ } from '../tensor/ops/foreach.ts';

/** Settings of one group of parameters. */
export interface AdamWSettings {
  /** Learning rate. */
  lr: number;
  /** Decay rates of the two moving averages. */
  betas: readonly [number, number];
  /** Added to the denominator. */
  eps: number;
  /** Decoupled weight decay. */
  weightDecay: number;
}

/** Parameters with settings of their own. */
export interface ParameterGroup extends Partial<AdamWSettings> {
  /** Each in one group only. */
  parameters: readonly Tensor[];
}

/** What an optimizer needs to go on where it stopped. Tensors are named `<index>.exp_avg` and `<index>.exp_avg_sq`. */
export interface AdamWState {
  /** Settings, a group each. */
  groups: AdamWSettings[];
  /** Steps that each parameter has taken. */
  steps: number[];
  /** The moving averages, in the dtype of their parameters. */
  tensors: Map<string, Tensor>;
}

interface Slot {
  readonly parameter: Tensor;
  steps: number;
  average: Tensor | null;
  square: Tensor | null;
}

const DEFAULTS: AdamWSettings = { lr: 1e-3, betas: [0.9, 0.999], eps: 1e-8, weightDecay: 0.01 };

/**
 * AdamW (Loshchilov & Hutter 2019, algorithm 2) on PyTorch's fused kernel: one call a group, device and dtype.
 * A parameter without a gradient is left alone, its step count too.
 */
export class AdamW {
  /** The groups' settings; a schedule may write `lr` between steps. */
  readonly groups: AdamWSettings[];
  readonly #slots: Slot[][];
  /** How many of the counted steps were skipped, on the device; null where none could have been. */
  #skipped: Tensor | null = null;

  constructor(parameters: readonly Tensor[] | readonly ParameterGroup[], settings: Partial<AdamWSettings> = {}) {
    checkParameters(parameters);
    const groups = isGroups(parameters) ? parameters : [{ parameters }];
    this.groups = groups.map(({ parameters: _, ...own }) => validated({ ...DEFAULTS, ...settings, ...own }));
    this.#slots = groups.map((group) =>
      group.parameters.map((parameter) => ({ parameter, steps: 0, average: null, square: null })),
    );
    const all = this.#slots.flat();
    if (all.length === 0) throw new ArgumentError('parameters', 'at least one tensor', 'none');
    if (new Set(all.map((slot) => slot.parameter)).size !== all.length) {
      throw new ArgumentError('parameters', 'each tensor once', 'one that stands in several places');
    }
  }

  /** The parameters, in the order of the groups; the state's indices are places here. */
  get parameters(): Tensor[] {
    return this.#slots.flat().map((slot) => slot.parameter);
  }

  /**
   * Moves every parameter by its gradient.
   * @param options.skip a float32 of one element on the parameters' device: where it is 1, nothing is moved and the step does not count.
   *   Nobody waits to see which it was.
   * @throws ArgumentError where a setting of {@link AdamW.groups} is none
   */
  step(options: { skip?: Tensor } = {}): void {
    checkArgument('options', options, anObject);
    const { skip } = options;
    for (const group of this.groups) validated(group); // before anything moves: a rate that is NaN would take every weight with it
    noGrad(() =>
      scope(() => {
        if (skip !== undefined) this.#skipped ??= keep(zerosLike(skip));
        for (const [i, slots] of this.#slots.entries()) this.#stepGroup(slots, this.groups[i] as AdamWSettings, skip);
        if (skip !== undefined) this.#skipped?.add_(skip);
      }),
    );
  }

  #stepGroup(slots: readonly Slot[], settings: AdamWSettings, skip: Tensor | undefined): void {
    const grads = gradients(slots.map((slot) => slot.parameter));
    makeMoments(slots.filter((_, i) => grads[i] != null));
    // The kernel takes lists of one dtype on one device; the step counts are equal, so one tensor serves, unless gradients were missing.
    const lists = new Map<string, { slots: Slot[]; gradients: Tensor[] }>();
    for (const [i, slot] of slots.entries()) {
      const gradient = grads[i];
      if (gradient == null) continue;
      slot.steps += 1;
      const kind = `${slot.parameter.dtype} ${slot.parameter.device} ${slot.steps}`;
      let list = lists.get(kind);
      if (list === undefined) {
        list = { slots: [], gradients: [] };
        lists.set(kind, list);
      }
      list.slots.push(slot);
      list.gradients.push(gradient);
    }
    for (const list of lists.values()) {
      const first = list.slots[0] as Slot;
      const counted = full([], first.steps, { device: first.parameter.device });
      const count = this.#skipped === null ? counted : counted.sub(this.#skipped.view());
      fusedAdamW_(
        {
          parameters: list.slots.map((slot) => slot.parameter),
          gradients: list.gradients,
          averages: list.slots.map((slot) => slot.average as Tensor),
          squares: list.slots.map((slot) => slot.square as Tensor),
          steps: list.slots.map(() => count),
        },
        settings,
        skip,
      );
    }
  }

  /** Lets go of every parameter's gradient. */
  zeroGrad(): void {
    clearGradients(this.#slots.flat().map((slot) => slot.parameter));
  }

  /** The state, its tensors the optimizer's own (copy or save them before the next step). */
  stateDict(): AdamWState {
    const slots = this.#slots.flat();
    this.#settleSkipped();
    const tensors = new Map<string, Tensor>();
    for (const [i, slot] of slots.entries()) {
      if (slot.average !== null && slot.square !== null) {
        tensors.set(`${i}.exp_avg`, slot.average);
        tensors.set(`${i}.exp_avg_sq`, slot.square);
      }
    }
    return { groups: this.groups.map((group) => ({ ...group })), steps: slots.map((slot) => slot.steps), tensors };
  }

  /** Takes the skipped steps off the counts, which waits for the device. */
  #settleSkipped(): void {
    const skipped = this.#skipped?.item() ?? 0;
    if (skipped > 0) for (const slot of this.#slots.flat()) slot.steps = Math.max(0, slot.steps - skipped);
    this.#skipped?.zero_();
  }

  /**
   * Takes over a state, copying its tensors.
   * @throws ArgumentError when it is not of the same parameters; nothing is changed then.
   */
  loadStateDict(state: AdamWState): void {
    const slots = this.#slots.flat();
    checkArgument('state', state, having('groups', 'steps', 'tensors'));
    if (state.groups.length !== this.groups.length) {
      throw new ArgumentError('state.groups', `${this.groups.length} groups`, String(state.groups.length));
    }
    if (state.steps.length !== slots.length) {
      throw new ArgumentError('state.steps', `${slots.length} parameters`, String(state.steps.length));
    }
    const groups = state.groups.map(validated);
    for (const [i, slot] of slots.entries()) {
      for (const name of [`${i}.exp_avg`, `${i}.exp_avg_sq`]) {
        const tensor = state.tensors.get(name);
        const wanted = `[${slot.parameter.shape.join(', ')}]`;
        if (tensor === undefined && (state.steps[i] as number) > 0) {
          throw new ArgumentError(`state.tensors["${name}"]`, `a tensor ${wanted}`, 'nothing');
        }
        if (tensor !== undefined && tensor.shape.join() !== slot.parameter.shape.join()) {
          throw new ArgumentError(`state.tensors["${name}"]`, `the shape ${wanted}`, `[${tensor.shape.join(', ')}]`);
        }
      }
    }
    this.#skipped?.zero_();
    for (const [i, group] of groups.entries()) Object.assign(this.groups[i] as AdamWSettings, group);
    noGrad(() => {
      const [averages, squares] = ['exp_avg', 'exp_avg_sq'].map((name) => slots.map((_, i) => state.tensors.get(`${i}.${name}`)));
      scope(() => makeMoments(slots.filter((_, i) => averages?.[i] !== undefined || squares?.[i] !== undefined)));
      for (const [i, slot] of slots.entries()) {
        slot.steps = state.steps[i] as number;
        slot.average = adopt(slot.average, averages?.[i]);
        slot.square = adopt(slot.square, squares?.[i]);
      }
    });
  }

  /** Frees the moving averages. */
  dispose(): void {
    for (const slot of this.#slots.flat()) {
      slot.average?.dispose();
      slot.square?.dispose();
      slot.average = slot.square = null;
    }
    this.#skipped?.dispose();
    this.#skipped = null;
  }
}

function adopt(own: Tensor | null, value: Tensor | undefined): Tensor | null {
  if (value !== undefined && own !== null) return own.copy_(value);
  own?.dispose();
  return null;
}

/**
 * Moments of zeros for slots that have none yet, side by side in one block of a kind: single blocks of many sizes, which stay for good, would
 * come to lie between those of a step, and leave holes there that no other tensor fits.
 */
function makeMoments(slots: readonly Slot[]): void {
  const kinds = new Map<string, Slot[]>();
  for (const slot of slots) {
    if (slot.average !== null && slot.square !== null) continue;
    const { parameter } = slot;
    // The kernel goes through memory in its order, so what lies in another order has moments like it.
    const kind = parameter.isContiguous ? `${parameter.dtype} ${parameter.device}` : '';
    kinds.set(kind, [...(kinds.get(kind) ?? []), slot]);
  }
  for (const [kind, list] of kinds) {
    const parameters = list.flatMap(({ parameter }) => [parameter, parameter]);
    const moments = kind === '' ? parameters.map((parameter) => zerosLike(parameter)) : zerosTogether(parameters);
    for (const [i, slot] of list.entries()) {
      slot.average ??= keep(moments[2 * i] as Tensor);
      slot.square ??= keep(moments[2 * i + 1] as Tensor);
    }
  }
}

/** Elements to a multiple of which a part of a block is filled up, for 64 bytes even of the narrowest dtype. */
const PART = 64;

/** Zeros of the shapes of tensors of one dtype on one device, views of one block. */
function zerosTogether(like: readonly Tensor[]): Tensor[] {
  const sizes = like.map(({ numel }) => Math.ceil(numel / PART) * PART);
  const { dtype, device } = like[0] as Tensor;
  const block = zeros([sizes.reduce((sum, size) => sum + size, 0)], { dtype, device });
  let start = 0;
  return like.map(({ shape, numel }, i) => {
    const part = block.narrow(0, start, numel).view(...shape);
    start += sizes[i] as number;
    return part;
  });
}

function checkParameters(parameters: readonly unknown[]): void {
  if (!Array.isArray(parameters)) throw new ArgumentError('parameters', 'an array of tensors or groups', described(parameters));
  for (const [i, entry] of parameters.entries()) {
    const list: unknown = entry instanceof Tensor ? [entry] : entry?.parameters;
    if (Array.isArray(list) && list.every((tensor) => tensor instanceof Tensor)) continue;
    throw new ArgumentError(`parameters[${i}]`, 'a tensor, or a group whose parameters are tensors', described(entry));
  }
}

const described = (value: unknown): string => (value === null ? 'null' : typeof value);

function isGroups(parameters: readonly Tensor[] | readonly ParameterGroup[]): parameters is readonly ParameterGroup[] {
  return parameters[0] !== undefined && 'parameters' in parameters[0];
}

function validated(settings: AdamWSettings): AdamWSettings {
  const { lr, betas, eps, weightDecay } = settings;
  const check = (ok: boolean, name: string, expected: string, value: unknown): void => {
    if (!ok) throw new ArgumentError(name, expected, String(value));
  };
  check(Number.isFinite(lr) && lr >= 0, 'lr', 'a number of at least 0', lr);
  check(
    Array.isArray(betas) && betas.length === 2 && betas.every((beta) => beta >= 0 && beta < 1),
    'betas',
    'two numbers in [0, 1)',
    betas,
  );
  check(Number.isFinite(eps) && eps >= 0, 'eps', 'a number of at least 0', eps);
  check(Number.isFinite(weightDecay) && weightDecay >= 0, 'weightDecay', 'a number of at least 0', weightDecay);
  return { lr, betas: [betas[0], betas[1]], eps, weightDecay };
}
