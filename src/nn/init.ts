import { aFunction, checkArgument } from '../native/arguments.ts';
import { checkTensors } from '../tensor/base.ts';
import { checkBody, checkDone, checkObject } from '../tensor/check.ts';
import { type Device, type Dtype, empty, type Generator, noGrad, normal_, type Tensor, uniform_ } from '../tensor/index.ts';
import { Parameter } from './parameter.ts';

/** How modules are built: where their parameters lie, in which dtype, and from which random stream they start. */
export interface Construction {
  /** Of new parameters; float32 outside {@link building}. */
  dtype: Dtype;
  /** `'meta'` gives shapes without memory, for counting and for loading. */
  device: Device;
  /** Where their values are drawn from; the process's own generator where there is none. */
  generator?: Generator;
}

let current: Construction = { dtype: 'float32', device: 'cpu' };

/** Builds modules in `body` with the given dtype, device and random stream. */
export function building<T>(options: Partial<Construction>, body: () => T): T {
  checkObject(options);
  checkBody(body);
  const before = current;
  current = { ...before, ...options };
  try {
    const result = body();
    checkDone(result);
    return result;
  } finally {
    current = before;
  }
}

/** Fills a new parameter. */
export type Initializer = (parameter: Tensor, generator: Generator | undefined) => void;

/** Fills with zeros. */
export const initZeros: Initializer = (parameter) => fillWith(parameter, 0);
/** Fills with ones. */
export const initOnes: Initializer = (parameter) => fillWith(parameter, 1);

function fillWith(parameter: Tensor, value: number): void {
  checkTensors({ parameter });
  parameter.fill_(value);
}

/** N(0, std²). */
export function initNormal(std: number): Initializer {
  return (parameter, generator) => void normal_(parameter, 0, std, generator);
}

/** U(−bound, bound). */
export function initUniform(bound: number): Initializer {
  return (parameter, generator) => void uniform_(parameter, -bound, bound, generator);
}

/** A new parameter of the current construction; on the meta device nothing is filled. */
export function parameter(shape: readonly number[], initialize: Initializer): Parameter {
  checkArgument('initialize', initialize, aFunction);
  const { dtype, device, generator } = current;
  const data = empty(shape, { dtype, device });
  if (device !== 'meta') noGrad(() => initialize(data, generator));
  const made = new Parameter(data);
  data.dispose();
  return made;
}
