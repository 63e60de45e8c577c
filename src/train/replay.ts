import { Module } from '../nn/index.ts';
import { backward, clearGradients, isFloatingPoint, scope, type Tensor } from '../tensor/index.ts';
import type { FoundIn } from './non-finite.ts';
import type { StepLosses } from './objective.ts';
import { tensorsIn } from './tensors-in.ts';

/** How the parts of a step are run again, batch by batch. */
export interface Repeatable<B, P> {
  readonly model: Module;
  readonly batches: readonly B[];
  prepare(batch: B): P;
  losses(prepared: P, batch: B): StepLosses;
}

/** The first tensor of a step that is not finite, in the order in which they come to be. */
export interface Finding {
  readonly tensor: string;
  readonly foundIn: FoundIn;
}

/**
 * Runs a step again and looks at every tensor: the batch, the parameters, what each module gives, the losses, the gradients. The generators
 * must stand where they stood. Slow: it waits for the device at each.
 */
export function firstNonFinite<B, P>(step: Repeatable<B, P>): Finding | null {
  const { model, batches } = step;
  return scope(() => {
    for (const [i, batch] of batches.entries()) {
      const found = first(tensorsIn(batch, batches.length === 1 ? '' : `[${i}]`), 'batch');
      if (found !== null) return found;
    }
    const found = first(model.stateDict(), 'parameter');
    if (found !== null) return found;
    clearGradients(model.parameters());
    for (const batch of batches) {
      const found = scope(() => forwardAndBackward(step, batch));
      if (found !== null) return found;
    }
    const gradients = [...model.namedParameters()].flatMap(([name, { grad }]) => (grad === null ? [] : [[name, grad] as const]));
    // The way back comes to the last parameters first.
    return first(gradients.reverse(), 'gradient');
  });
}

function forwardAndBackward<B, P>(step: Repeatable<B, P>, batch: B): Finding | null {
  const prepared = step.prepare(batch);
  const inBatch = first(tensorsIn(prepared, ''), 'prepared batch');
  if (inBatch !== null) return inBatch;
  let output: Finding | null = null;
  const given = watching(
    step.model,
    (name, result) => {
      output ??= first(tensorsIn(result, name), 'output');
    },
    () => step.losses(prepared, batch),
  );
  const found = output ?? first(Object.entries({ ...given.losses, loss: given.loss }), 'loss');
  if (found === null) backward([given.loss]);
  return found;
}

function first(tensors: Iterable<readonly [string, Tensor]>, foundIn: FoundIn): Finding | null {
  for (const [tensor, value] of tensors) if (!allFinite(value)) return { tensor, foundIn };
  return null;
}

function allFinite(tensor: Tensor): boolean {
  if (!isFloatingPoint(tensor.dtype)) return true;
  return scope(() => Boolean(tensor.detach().isfinite().all().item()));
}

type Method = (...values: unknown[]) => unknown;

/** Runs `body` while `see` is shown what every method of every module returns, the innermost first. */
function watching<T>(model: Module, see: (name: string, result: unknown) => void, body: () => T): T {
  const watched: [Module, string][] = [];
  for (const [path, module] of namedModules(model, '')) {
    for (const [name, method] of methodsOf(module)) {
      const label = [path, name === 'forward' ? '' : `${name}()`].filter((part) => part !== '').join('.') || 'the model';
      const value: Method = (...values) => {
        const result = method.apply(module, values);
        see(label, result);
        return result;
      };
      Object.defineProperty(module, name, { value, configurable: true });
      watched.push([module, name]);
    }
  }
  try {
    return body();
  } finally {
    for (const [module, name] of watched) Reflect.deleteProperty(module, name);
  }
}

function* namedModules(module: Module, path: string): Generator<[path: string, module: Module]> {
  yield [path, module];
  for (const [name, child] of module.namedChildren()) yield* namedModules(child, path === '' ? name : `${path}.${name}`);
}

/** The methods that a module's own classes declare. */
function methodsOf(module: Module): Map<string, Method> {
  const methods = new Map<string, Method>();
  for (let level = Object.getPrototypeOf(module); level !== Module.prototype; level = Object.getPrototypeOf(level)) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(level))) {
      if (name !== 'constructor' && typeof value === 'function' && !methods.has(name)) methods.set(name, value as Method);
    }
  }
  return methods;
}
