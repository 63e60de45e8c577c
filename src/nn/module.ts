import { anObject, arrayOf, aString, checkArgument } from '../native/arguments.ts';
import { transferable } from '../native/error-transfer.ts';
import { ArgumentError, Blip2Error } from '../native/errors.ts';
import { kindOf } from '../tensor/check.ts';
import { type Device, type Dtype, noGrad, scope, Tensor } from '../tensor/index.ts';
import { ModuleBuffer, Parameter } from './parameter.ts';

/** What a checkpoint and a module disagree on, name by name. */
export class StateDictError extends Blip2Error {
  override readonly name: string = 'StateDictError';
  /** Names that the module has and the weights have not. */
  readonly missing: readonly string[];
  /** Names that only the weights have. */
  readonly unexpected: readonly string[];
  /** Names on both sides whose shapes differ, with both shapes. */
  readonly mismatched: readonly string[];

  /** @param source the file that the weights are from, where there is one */
  constructor(missing: readonly string[], unexpected: readonly string[], mismatched: readonly string[], source?: string) {
    for (const [argument, names] of Object.entries({ missing, unexpected, mismatched }))
      checkArgument(argument, names, arrayOf(aString));
    const part = (title: string, names: readonly string[]): string =>
      names.length === 0
        ? ''
        : `\n  ${title} (${names.length}): ${names.slice(0, 12).join(', ')}${names.length > 12 ? ', …' : ''}`;
    super(
      'ERR_STATE_DICT',
      `${source === undefined ? '' : `${source}: `}the weights do not fit the module${part('missing', missing)}${part('unexpected', unexpected)}${part('of another shape', mismatched)}`,
    );
    this.missing = missing;
    this.unexpected = unexpected;
    this.mismatched = mismatched;
  }
}

transferable(StateDictError);

/** A name among the arguments would be passed over, and the whole module frozen. */
function refuse(more: readonly unknown[], method: string): void {
  if (more.length > 0) throw new ArgumentError('the call', `no argument of ${method}()`, kindOf(more[0]));
}

/**
 * The name of a field in checkpoints: camelCase becomes snake_case (`layerNorm1` → `layer_norm1`); a name that starts with a
 * capital (`LayerNorm`) stays.
 */
export function checkpointName(field: string): string {
  return /^[A-Z]/.test(field) ? field : field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

/**
 * A part of a model: parameters, buffers and further modules are its fields, and the fields' names, in snake_case and joined by
 * dots, are the names in checkpoints. Arrays of modules count as `name.0`, `name.1`, …; `#private` fields do not.
 */
export abstract class Module {
  /** Whether dropout is on. */
  training = true;

  /** Direct children by checkpoint name. */
  *namedChildren(): Generator<[name: string, child: Module]> {
    for (const [field, value] of Object.entries(this)) {
      if (value instanceof Module) yield [checkpointName(field), value];
      else if (Array.isArray(value)) {
        for (const [i, element] of value.entries()) {
          if (element instanceof Module) yield [`${checkpointName(field)}.${i}`, element];
        }
      }
    }
  }

  /** This module and all below it. */
  *modules(): Generator<Module> {
    yield this;
    for (const [, child] of this.namedChildren()) yield* child.modules();
  }

  *#entries(prefix: string): Generator<[name: string, tensor: Parameter | ModuleBuffer]> {
    for (const [field, value] of Object.entries(this)) {
      if (value instanceof Parameter || value instanceof ModuleBuffer) yield [prefix + checkpointName(field), value];
    }
    for (const [name, child] of this.namedChildren()) yield* child.#entries(`${prefix}${name}.`);
  }

  /** Parameters by name, each once: of tied ones the first name. */
  namedParameters(): Map<string, Parameter> {
    const seen = new Set<Parameter>();
    const named = new Map<string, Parameter>();
    for (const [name, tensor] of this.#entries('')) {
      if (tensor instanceof Parameter && !seen.has(tensor)) {
        seen.add(tensor);
        named.set(name, tensor);
      }
    }
    return named;
  }

  /** Every parameter once, in the order of {@link namedParameters}. */
  parameters(): Parameter[] {
    return [...this.namedParameters().values()];
  }

  /** Buffers by name. */
  namedBuffers(): Map<string, ModuleBuffer> {
    const named = new Map<string, ModuleBuffer>();
    for (const [name, tensor] of this.#entries('')) if (tensor instanceof ModuleBuffer) named.set(name, tensor);
    return named;
  }

  /** Number of learnable and frozen elements, tied ones once. */
  parameterCount(): number {
    return this.parameters().reduce((sum, parameter) => sum + parameter.numel, 0);
  }

  /** Turns dropout on (or off), here and below. */
  train(mode = true): this {
    if (typeof mode !== 'boolean') throw new ArgumentError('mode', 'true or false', kindOf(mode));
    for (const module of this.modules()) module.training = mode;
    return this;
  }

  /** Turns dropout off, here and below. */
  eval(): this {
    return this.train(false);
  }

  /** No parameter asks for gradients any more. A part of a model is frozen by its own `freeze()`. */
  freeze(): this;
  freeze(...more: readonly unknown[]): this {
    refuse(more, 'freeze');
    for (const parameter of this.parameters()) parameter.requiresGrad_(false);
    return this;
  }

  /** Every parameter asks for gradients again. */
  unfreeze(): this;
  unfreeze(...more: readonly unknown[]): this {
    refuse(more, 'unfreeze');
    for (const parameter of this.parameters()) parameter.requiresGrad_(true);
    return this;
  }

  /** Casts and moves parameters (floating-point ones) and buffers; the parameter objects stay, so optimizers keep theirs. */
  to(options: Dtype | { dtype?: Dtype; device?: Device }): this {
    noGrad(() =>
      scope(() => {
        for (const tensor of [...this.parameters(), ...this.namedBuffers().values()]) tensor.setData(tensor.detach().to(options));
      }),
    );
    return this;
  }

  /** Every parameter and buffer under its name, tied ones under each of theirs. The tensors are the module's own. */
  stateDict(): Map<string, Tensor> {
    return new Map(this.#entries(''));
  }

  /**
   * Copies the values of a state dict into the module's parameters and buffers.
   * @throws StateDictError listing what is missing, unexpected or of another shape; with `strict: false` only for shapes.
   *   Nothing is changed then.
   * @throws ArgumentError where `state` is no map of tensors
   */
  loadStateDict(
    state: ReadonlyMap<string, Tensor>,
    options: { strict?: boolean } = {},
  ): { missing: string[]; unexpected: string[] } {
    if (typeof state?.get !== 'function' || typeof state.has !== 'function' || typeof state.keys !== 'function') {
      throw new ArgumentError('state', 'a Map of tensors', state === null ? 'null' : typeof state);
    }
    checkArgument('options', options, anObject);
    const own = this.stateDict();
    const missing = [...own.keys()].filter((name) => !state.has(name));
    const unexpected = [...state.keys()].filter((name) => !own.has(name));
    const mismatched: string[] = [];
    for (const [name, tensor] of own) {
      const value = state.get(name);
      if (value !== undefined && !(value instanceof Tensor))
        throw new ArgumentError(`state["${name}"]`, 'a tensor', typeof value);
      if (value !== undefined && value.shape.join() !== tensor.shape.join()) {
        mismatched.push(`${name} [${value.shape.join(', ')}] for [${tensor.shape.join(', ')}]`);
      }
    }
    const strict = options.strict ?? true;
    if (mismatched.length > 0 || (strict && missing.length + unexpected.length > 0)) {
      throw new StateDictError(strict ? missing : [], strict ? unexpected : [], mismatched);
    }
    noGrad(() => {
      for (const [name, tensor] of own) {
        const value = state.get(name);
        if (value !== undefined) tensor.copy_(value);
      }
    });
    return { missing, unexpected };
  }

  /** Frees every parameter and buffer. */
  dispose(): void {
    for (const [, tensor] of this.#entries('')) tensor.dispose();
  }

  [Symbol.dispose](): void {
    this.dispose();
  }
}
