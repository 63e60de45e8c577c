import { ArgumentError } from '../native/errors.ts';
import { addon } from '../native/load.ts';
import { checkBody, checkDone, kindOf } from './check.ts';

/** What {@link keep} takes: a tensor, which owns one slot of the addon's table. */
export interface Owner {
  /** Whether it has been disposed of, or its scope has ended. */
  readonly isFreed: boolean;
  /** Frees it now. */
  dispose(): void;
  /** @internal The slot; 0 once freed. */
  handle: number;
  /** @internal Its entry in the garbage collector's net; null while a scope is to free it. */
  net: { handle: number } | null;
}

// What the open scopes own, the innermost scope's last, from `base` on. One stack for all: scopes are synchronous, and each worker
// thread has its own modules. Slots from `top` on are empty; the array keeps its length, which spares growing it again and again.
const made: (Owner | null)[] = [];
let top = 0;
let base = -1; // outside of every scope

// The net for what lives outside scopes. Collection waits for the event loop, so a synchronous loop wants a scope. An owner that is
// freed by hand stays registered, since taking it out costs more than putting it in; its entry is emptied instead.
const registry = new FinalizationRegistry<{ handle: number }>((entry) => {
  if (entry.handle === 0) return;
  if (doomed === 0) queueMicrotask(freeDoomed);
  doom(entry.handle);
});

// Handles on their way to be freed, many in one call.
let batch = new Int32Array(256);
let doomed = 0;

function doom(handle: number): void {
  if (doomed === batch.length) {
    const larger = new Int32Array(2 * batch.length);
    larger.set(batch);
    batch = larger;
  }
  batch[doomed++] = handle;
}

function freeDoomed(): void {
  const count = doomed;
  doomed = 0;
  if (count > 0) addon.freeMany(batch, count);
}

/** @internal Hands a new owner to the innermost scope, or else to the garbage collector. */
export function track(owner: Owner): void {
  if (base >= 0) made[top++] = owner;
  else outlive(owner);
}

/** @internal For owners that no scope frees, such as parameters: they are disposed of, or at last collected. */
export function outlive(owner: Owner): void {
  owner.net = { handle: owner.handle };
  registry.register(owner, owner.net);
}

/** @internal Frees an owner now. */
export function release(owner: Owner): void {
  if (owner.handle === 0) return;
  if (owner.net !== null) owner.net.handle = 0;
  addon.free(owner.handle);
  owner.handle = 0;
}

/** Classes whose instances own a handle register here, so that `scope` finds them in what a function returns. */
let isOwner: (value: unknown) => value is Owner = (_value): _value is Owner => false;
export function setOwnerTest(test: typeof isOwner): void {
  isOwner = test;
}

/** The owners in a value: in arrays, maps, sets and the fields of objects, however deep. */
function ownersIn(root: object): Set<Owner> {
  const owners = new Set<Owner>();
  const seen = new Set<object>();
  const waiting: object[] = [root];
  const visit = (value: unknown): void => {
    if (typeof value === 'object' && value !== null && !seen.has(value)) {
      seen.add(value);
      waiting.push(value);
    }
  };
  for (let value = waiting.pop(); value !== undefined; value = waiting.pop()) {
    if (isOwner(value)) owners.add(value);
    else if (Array.isArray(value) || value instanceof Set) for (const element of value) visit(element);
    else if (value instanceof Map) {
      for (const [key, element] of value) {
        visit(key);
        visit(element);
      }
    } else if (!ArrayBuffer.isView(value)) for (const element of Object.values(value)) visit(element);
  }
  return owners;
}

/**
 * Runs `body` and frees every tensor made in it, except those in what it returns (a tensor, or arrays, maps, sets and objects that hold
 * some, however deep) and those given to {@link keep}. Scopes nest: what an inner one returns belongs to the outer one. When `body`
 * throws, all are freed. Tensors in `#private` fields or in closures of what is returned are not found, so they are freed: `keep` them.
 *
 * @throws ArgumentError (`ERR_ASYNC_SCOPE`) when `body` returns a Promise or a generator: what runs later, after an `await` or on
 *   iteration, would no longer be in the scope.
 */
export function scope<T>(body: () => T): T {
  checkBody(body);
  const outer = base;
  base = top;
  let escaping: Set<Owner> | null = null;
  let single: unknown = null;
  try {
    const result = body();
    if (typeof result === 'object' && result !== null) {
      if (isOwner(result)) single = result;
      else {
        checkDone(result);
        escaping = ownersIn(result);
      }
    }
    return result;
  } finally {
    end(outer, single, escaping);
  }
}

/** Closes the innermost scope: frees what is its own and hands what escapes to the outer one. */
function end(outer: number, single: unknown, escaping: Set<Owner> | null): void {
  const start = base;
  const stop = top;
  base = outer;
  top = start;
  for (let i = start; i < stop; i++) {
    const owner = made[i] as Owner;
    made[i] = null;
    if (owner.handle === 0 || owner.net !== null) continue; // disposed of, or kept
    if (owner === single || escaping?.has(owner)) {
      track(owner);
    } else {
      doom(owner.handle);
      owner.handle = 0;
    }
  }
  freeDoomed();
}

/** Lets a tensor outlive every scope around this call; from then on it is the caller's to dispose of. Returns it. */
export function keep<T extends Owner>(owner: T): T {
  if (!isOwner(owner)) throw new ArgumentError('owner', 'a tensor', kindOf(owner));
  if (owner.net === null && owner.handle !== 0) outlive(owner);
  return owner;
}

/** Live tensors of this thread, and the bytes of CPU and device storage they hold. Gradients and what a graph saves do not count. */
export function memory(): { tensors: number; bytes: number } {
  const [tensors, bytes] = addon.memory();
  return { tensors, bytes };
}
