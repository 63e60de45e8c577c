import type { Failure } from '../mapped-pages.ts';
import { quote } from '../tensor-file.ts';
import type { Cursor } from './cursor.ts';
import * as op from './opcodes.ts';

/** Something that is no plain value. */
export abstract class Opaque {
  abstract describe(): string;
}

/** A function, class or constant of Python's that a pickle may name. */
export class Global extends Opaque {
  readonly name: string;
  /**
   * What calling it gives; undefined for what is no function. It must not copy what it is given, which a pickle can give again and
   * again.
   */
  readonly call: ((args: readonly Value[], fail: Failure) => Value) | undefined;

  constructor(name: string, call?: (args: readonly Value[], fail: Failure) => Value) {
    super();
    this.name = name;
    this.call = call;
  }

  override describe(): string {
    return this.name;
  }
}

/**
 * A value of a pickle. Lists, tuples and sets are arrays, dicts are maps, whole numbers beyond 2⁵³ are bigints, and bytes are text in
 * which each character is one.
 */
export type Value = null | boolean | number | bigint | string | Value[] | Map<Value, Value> | Opaque;

/** What a pickle may reach outside of itself. */
export interface Surroundings {
  /** The global of this name ("module.name"), if pickles may name it. */
  global(name: string): Global | undefined;
  /** The object that a persistent id stands for. */
  persistent(id: Value): Value;
}

/** Operations of a pickle; a state dict of ten thousand tensors takes 300,000. */
const MAX_OPERATIONS = 2 ** 23;

const MAX_INTEGER_BYTES = 1024;

/**
 * Runs a pickle of protocol 2 to 5 that makes plain values and what its surroundings allow; nothing else can be named or called. The
 * operations are counted, so what it makes is bounded, and nothing here recurses, however deep its values nest.
 */
export function unpickle(cursor: Cursor, surroundings: Surroundings, fail: Failure): Value {
  return new Unpickler(cursor, surroundings, fail).run();
}

class Unpickler {
  readonly #cursor: Cursor;
  readonly #surroundings: Surroundings;
  readonly #fail: Failure;
  readonly #stack: Value[] = [];
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, Value>();

  constructor(cursor: Cursor, surroundings: Surroundings, fail: Failure) {
    this.#cursor = cursor;
    this.#surroundings = surroundings;
    this.#fail = (problem, options) => fail(`before byte ${cursor.position}: ${problem}`, options);
  }

  run(): Value {
    const protocol = this.#cursor.byte() === op.PROTO ? this.#cursor.byte() : 0;
    if (protocol < 2 || protocol > 5) throw this.#fail('expected a pickle of protocol 2 to 5');
    for (let operations = 0; operations < MAX_OPERATIONS; operations++) {
      const opcode = this.#cursor.byte();
      if (opcode === op.STOP) return this.#pop();
      this.#execute(opcode);
    }
    throw this.#fail(`expected at most ${MAX_OPERATIONS} operations`);
  }

  #execute(opcode: number): void {
    const [cursor, stack] = [this.#cursor, this.#stack];
    switch (opcode) {
      case op.FRAME:
        this.#length(cursor.take(8).readBigUInt64LE()); // what it frames comes as it would without
        return;
      case op.MARK:
        this.#marks.push(stack.length);
        return;
      case op.POP:
        // What pushes nothing else has been popped since the mark: the mark itself is meant.
        if (stack.length === this.#marks.at(-1)) this.#marks.pop();
        else this.#pop();
        return;
      case op.POP_MARK:
        this.#popToMark();
        return;
      case op.DUP:
        stack.push(this.#top());
        return;
      case op.NONE:
        stack.push(null);
        return;
      case op.NEWTRUE:
      case op.NEWFALSE:
        stack.push(opcode === op.NEWTRUE);
        return;
      case op.BININT:
        stack.push(cursor.take(4).readInt32LE());
        return;
      case op.BININT1:
        stack.push(cursor.byte());
        return;
      case op.BININT2:
        stack.push(cursor.take(2).readUInt16LE());
        return;
      case op.LONG1:
        stack.push(this.#integer(cursor.byte()));
        return;
      case op.LONG4:
        stack.push(this.#integer(cursor.take(4).readUInt32LE()));
        return;
      case op.BINFLOAT:
        stack.push(cursor.take(8).readDoubleBE());
        return;
      case op.SHORT_BINSTRING: // of Python 2
      case op.SHORT_BINUNICODE:
        stack.push(this.#text(cursor.byte()));
        return;
      case op.BINSTRING:
      case op.BINUNICODE:
        stack.push(this.#text(cursor.take(4).readUInt32LE()));
        return;
      case op.BINUNICODE8:
        stack.push(this.#text(this.#length(cursor.take(8).readBigUInt64LE())));
        return;
      case op.SHORT_BINBYTES:
        stack.push(cursor.take(cursor.byte()).toString('latin1'));
        return;
      case op.BINBYTES:
        stack.push(cursor.take(cursor.take(4).readUInt32LE()).toString('latin1'));
        return;
      case op.BINBYTES8:
      case op.BYTEARRAY8:
        stack.push(cursor.take(this.#length(cursor.take(8).readBigUInt64LE())).toString('latin1'));
        return;
      case op.EMPTY_LIST:
      case op.EMPTY_TUPLE:
      case op.EMPTY_SET:
        stack.push([]);
        return;
      case op.LIST:
      case op.TUPLE:
      case op.FROZENSET:
        stack.push(this.#popToMark());
        return;
      case op.TUPLE1:
      case op.TUPLE2:
      case op.TUPLE3:
        stack.push(this.#popMany(opcode - op.TUPLE1 + 1));
        return;
      case op.APPEND:
        this.#append(this.#popMany(1));
        return;
      case op.APPENDS:
      case op.ADDITEMS:
        this.#append(this.#popToMark());
        return;
      case op.EMPTY_DICT:
        stack.push(new Map());
        return;
      case op.DICT: {
        const items = this.#popToMark();
        stack.push(new Map());
        this.#set(items);
        return;
      }
      case op.SETITEM:
        this.#set(this.#popMany(2));
        return;
      case op.SETITEMS:
        this.#set(this.#popToMark());
        return;
      case op.BINPUT:
        this.#memo.set(cursor.byte(), this.#top());
        return;
      case op.LONG_BINPUT:
        this.#memo.set(cursor.take(4).readUInt32LE(), this.#top());
        return;
      case op.MEMOIZE:
        this.#memo.set(this.#memo.size, this.#top());
        return;
      case op.BINGET:
        this.#recall(cursor.byte());
        return;
      case op.LONG_BINGET:
        this.#recall(cursor.take(4).readUInt32LE());
        return;
      case op.GLOBAL:
        stack.push(this.#global(cursor.line(), cursor.line()));
        return;
      case op.STACK_GLOBAL: {
        const [module, name] = this.#popMany(2);
        if (typeof module !== 'string' || typeof name !== 'string') throw this.#fail('expected the name of a global');
        stack.push(this.#global(module, name));
        return;
      }
      case op.REDUCE: {
        const [callee, args] = this.#popMany(2);
        if (!(callee instanceof Global) || callee.call === undefined || !Array.isArray(args)) {
          throw this.#fail(`${callee instanceof Opaque ? callee.describe() : 'a plain value'} is called, which is no function`);
        }
        stack.push(callee.call(args, this.#fail));
        return;
      }
      case op.BUILD:
        this.#pop(); // attributes of an OrderedDict, such as the versions of a state dict's modules
        if (!(this.#top() instanceof Map)) throw this.#fail('expected only dicts to have attributes');
        return;
      case op.BINPERSID:
        stack.push(this.#surroundings.persistent(this.#pop()));
        return;
      default:
        throw this.#fail(`the operation 0x${opcode.toString(16)} is none that tensors and plain values need`);
    }
  }

  #fence(): number {
    return this.#marks.at(-1) ?? 0;
  }

  #popMany(count: number): Value[] {
    if (this.#stack.length - this.#fence() < count) throw this.#fail('takes more from the stack than there is');
    return this.#stack.splice(this.#stack.length - count, count);
  }

  #pop(): Value {
    return this.#popMany(1)[0] as Value;
  }

  #popToMark(): Value[] {
    const mark = this.#marks.pop();
    if (mark === undefined) throw this.#fail('takes all up to a mark, of which there is none');
    return this.#stack.splice(mark);
  }

  #top(): Value {
    if (this.#stack.length <= this.#fence()) throw this.#fail('takes more from the stack than there is');
    return this.#stack.at(-1) as Value;
  }

  #recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.#fail(`recalls the value ${index}, which it has not put by`);
    this.#stack.push(value);
  }

  #append(items: readonly Value[]): void {
    const list = this.#top();
    if (!Array.isArray(list)) throw this.#fail('expected a list to append to');
    for (const item of items) list.push(item);
  }

  #set(items: readonly Value[]): void {
    const dict = this.#top();
    if (!(dict instanceof Map) || items.length % 2 !== 0) throw this.#fail('expected a dict and pairs of key and value');
    for (let i = 0; i < items.length; i += 2) {
      const key = items[i] as Value;
      if (typeof key === 'object' && key !== null) throw this.#fail('expected text or numbers as keys of a dict');
      dict.set(key, items[i + 1] as Value);
    }
  }

  #global(module: string, name: string): Global {
    const full = `${module}.${name}`;
    const found = this.#surroundings.global(full);
    if (found === undefined)
      throw this.#fail(`names ${quote(full)}, but only what makes dense tensors and plain values may be named; it was not run`);
    return found;
  }

  #text(length: number): string {
    const bytes = this.#cursor.take(length);
    try {
      return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
    } catch (error) {
      throw this.#fail('expected UTF-8 text', { cause: error });
    }
  }

  /** Two's complement, least significant byte first. */
  #integer(length: number): number | bigint {
    if (length > MAX_INTEGER_BYTES) throw this.#fail(`expected whole numbers of at most ${MAX_INTEGER_BYTES} bytes`);
    if (length === 0) return 0;
    const bytes = Buffer.from(this.#cursor.take(length)).reverse();
    const value = BigInt.asIntN(8 * length, BigInt(`0x${bytes.toString('hex')}`));
    return value >= Number.MIN_SAFE_INTEGER && value <= Number.MAX_SAFE_INTEGER ? Number(value) : value;
  }

  #length(value: bigint): number {
    if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.#fail(`a length of ${value} is beyond any file`);
    return Number(value);
  }
}
