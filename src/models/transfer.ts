import { ArgumentError, OperatorError } from '../native/errors.ts';
import { type Module, StateDictError } from '../nn/index.ts';
import { noGrad, scope, type Tensor, type TensorFile } from '../tensor/index.ts';

/** Where a parameter's values come from in a file of another convention. */
export interface Origin {
  /** Names in the file. */
  readonly from: readonly string[];
  /** What is made of them, undefined where they do not fit; the only one as it is unless told. `current` is the parameter. */
  readonly make?: (parts: readonly Tensor[], current: Tensor) => Tensor | undefined;
}

/** A tensor and its name in a file. */
export type NamedTensor = readonly [name: string, value: Tensor];

/** What a file and a model do not share. */
export interface TransferReport {
  /** Parameters that keep their values: the file has nothing for them. */
  readonly missing: string[];
  /** Names in the file that the model has no use for. */
  readonly unexpected: string[];
}

/** Weights that are ready to be copied into a model. */
export interface Transfer extends TransferReport {
  /** Copies them, a parameter at a time. */
  run(): void;
}

/**
 * Finds what in a file fits a model's parameters, and changes nothing yet.
 * @throws StateDictError naming those of another shape; ArgumentError for a model without memory
 */
export function prepareTransfer(file: TensorFile, model: Module, originOf: (name: string) => Origin | undefined): Transfer {
  const found = new Map<Tensor, Origin>();
  const missing: string[] = [];
  const mismatched: string[] = [];
  const used = new Set<string>();
  for (const [name, parameter] of model.stateDict()) {
    if (parameter.device === 'meta') throw new ArgumentError('model', 'a model with memory', `${name} on the meta device`);
    const origin = originOf(name);
    if (origin === undefined || !origin.from.every((source) => file.has(source))) {
      missing.push(name);
      continue;
    }
    for (const source of origin.from) used.add(source);
    if (shapeOf(file, origin, parameter)?.join() !== parameter.shape.join()) {
      const shapes = origin.from.map((source) => `${source} [${file.info(source).shape.join(', ')}]`);
      mismatched.push(`${shapes.join(', ')} for ${name} [${parameter.shape.join(', ')}]`);
    }
    found.set(parameter, origin);
  }
  if (mismatched.length > 0) throw new StateDictError([], [], mismatched, file.path);
  const run = (): void => {
    for (const [parameter, origin] of found) {
      const { from, make } = origin;
      if (make === undefined) file.copyInto(from[0] as string, parameter);
      else scope(() => parameter.detach().copy_(made(file, from, make, parameter) as Tensor));
    }
  };
  return { missing, unexpected: file.names.filter((name) => !used.has(name)), run };
}

function made(file: TensorFile, from: readonly string[], make: NonNullable<Origin['make']>, current: Tensor): Tensor | undefined {
  return noGrad(() =>
    make(
      from.map((name) => file.get(name)),
      current.detach(),
    ),
  );
}

/** The shape of what comes; undefined where nothing can be made of it. */
function shapeOf(file: TensorFile, { from, make }: Origin, current: Tensor): readonly number[] | undefined {
  if (make === undefined) return file.info(from[0] as string).shape;
  try {
    return scope(() => made(file, from, make, current)?.shape);
  } catch (error) {
    if (error instanceof OperatorError || error instanceof ArgumentError) return undefined;
    throw error;
  }
}
