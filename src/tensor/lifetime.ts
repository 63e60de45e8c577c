import { ArgumentError } from '../native/errors.ts';
import { addon } from '../native/load.ts';

/** @internal What a scope tracks: an object that owns one slot of the addon's table. A freed one has handle 0. */
export interface Owner {
  handle: number;
}

interface Scope {
  readonly made: Owner[];
  kept: Set<Owner> | null;
  readonly outer: Scope | null;
}

// The innermost scope. Module state suffices: a scope is synchronous, and each worker thread has its own modules.
let current: Scope | null = null;

// The net for what lives outside scopes. Collection waits for the event loop, so a synchronous loop wants a scope.
const registry = new FinalizationRegistry<number>((handle) => addon.free(handle));

/** @internal Hands a new owner to the innermost scope, or else to the garbage collector. */
export function track(owner: Owner): void {
  if (current !== null) current.made.push(owner);
  else registry.register(owner, owner.handle, owner);
}

/** @internal For owners that no scope frees: parameters, which belong to their module. */
export function outlive(owner: Owner): void {
  registry.register(owner, owner.handle, owner);
}

/** @internal Frees an owner now. */
export function release(owner: Owner): void {
  if (owner.handle === 0) return;
  registry.unregister(owner);
  addon.free(owner.handle);
  owner.handle = 0;
}

/** Classes whose instances own a handle register here, so that `scope` finds them in what a function returns. */
let isOwner: (value: unknown) => value is Owner = (_value): _value is Owner => false;
export function setOwnerTest(test: typeof isOwner): void {
  isOwner = test;
}

function collect(value: unknown, into: Set<Owner>, depth: number): void {
  if (typeof value !== 'object' || value === null) return;
  if (isOwner(value)) {
    into.add(value);
  } else if (depth < 16) {
    if (Array.isArray(value)) for (const element of value) collect(element, into, depth + 1);
    else if (value instanceof Map || value instanceof Set) {
      for (const element of value.values()) collect(element, into, depth + 1);
    } else if (!ArrayBuffer.isView(value)) {
      for (const element of Object.values(value)) collect(element, into, depth + 1);
    }
  }
}

/**
 * Runs `body` and frees every tensor made in it, except those in what it returns (a tensor, or arrays, maps and objects that hold
 * some) and those given to {@link keep}. Scopes nest: what an inner one returns belongs to the outer one.
 *
 * @throws ArgumentError when `body` returns a Promise: what runs after an `await` would no longer be in the scope.
 */
export function scope<T>(body: () => T): T {
  const outer = current;
  const inner: Scope = { made: [], kept: null, outer };
  current = inner;
  const escaping = new Set<Owner>();
  try {
    const result = body();
    if (typeof result === 'object' && result !== null) {
      if (typeof (result as { then?: unknown }).then === 'function') {
        throw new ArgumentError('body', 'a synchronous function', 'one that returns a Promise', { code: 'ERR_ASYNC_SCOPE' });
      }
      collect(result, escaping, 0);
    }
    return result;
  } finally {
    current = outer;
    end(inner, escaping);
  }
}

function end(inner: Scope, escaping: Set<Owner>): void {
  const handles: number[] = [];
  const { kept } = inner;
  for (const owner of inner.made) {
    if (owner.handle === 0) continue;
    if (kept?.has(owner)) continue;
    if (escaping.size > 0 && escaping.has(owner)) {
      track(owner);
    } else {
      handles.push(owner.handle);
      owner.handle = 0;
    }
  }
  if (handles.length > 0) addon.freeMany(handles);
}

/** Lets a tensor outlive every scope around this call; from then on it is the caller's to dispose of. Returns it. */
export function keep<T extends Owner>(owner: T): T {
  for (let at = current; at !== null; at = at.outer) {
    if (at.made.includes(owner)) {
      at.kept ??= new Set();
      if (!at.kept.has(owner)) {
        at.kept.add(owner);
        registry.register(owner, owner.handle, owner);
      }
      break;
    }
  }
  return owner;
}

/** Live tensors of this thread, and the bytes of CPU and device storage they hold. Gradients and what a graph saves do not count. */
export function memory(): { tensors: number; bytes: number } {
  const [tensors, bytes] = addon.memory();
  return { tensors, bytes };
}
