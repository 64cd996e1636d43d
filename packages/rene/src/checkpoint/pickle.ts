// A pickle reader that never runs code: it supports dicts, lists, tuples, numbers and strings, and passes
// everything else to its caller.
import { CheckpointError } from '../errors.js';

/** A class or function named in a pickle. Nothing is loaded. */
export class PickleGlobal {
  constructor(readonly name: string) {}
}

export interface PickleHooks {
  /** Result of calling a named function or class. Throws for unknown ones. */
  call(global: PickleGlobal, args: readonly unknown[]): unknown;
  /** The object of a persistent id. */
  persistent(id: unknown): unknown;
}

/** Marks the start of a tuple, list or dict on the stack. */
const MARK = Symbol('mark');

/**
 * Reads a pickle of protocol 2 to 5. Dicts become Maps, lists and tuples arrays, None null.
 *
 * @throws CheckpointError for unsupported names and opcodes
 */
export function unpickle(bytes: Uint8Array, hooks: PickleHooks): unknown {
  return new Unpickler(bytes, hooks).run();
}

class Unpickler {
  private readonly view: DataView;
  private readonly stack: unknown[] = [];
  private readonly memo = new Map<number, unknown>();
  private position = 0;

  constructor(
    private readonly bytes: Uint8Array,
    private readonly hooks: PickleHooks,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  run(): unknown {
    for (;;) {
      const at = this.position;
      const opcode = this.bytes[this.take(1)] ?? 0;
      if (opcode === 0x2e) return this.pop(); // STOP
      if (!this.constant(opcode) && !this.container(opcode) && !this.object(opcode)) {
        const code = opcode.toString(16).padStart(2, '0');
        throw new CheckpointError(`pickle opcode 0x${code} at byte ${at} is not allowed here`);
      }
    }
  }

  /** Numbers, strings, None, and what changes nothing. */
  private constant(opcode: number): boolean {
    switch (opcode) {
      case 0x80: // PROTO
        this.take(1);
        return true;
      case 0x95: // FRAME
        this.take(8);
        return true;
      case 0x4e: // NONE
        return this.push(null);
      case 0x88: // NEWTRUE
        return this.push(true);
      case 0x89: // NEWFALSE
        return this.push(false);
      case 0x4a: // BININT
        return this.push(this.view.getInt32(this.take(4), true));
      case 0x4b: // BININT1
        return this.push(this.view.getUint8(this.take(1)));
      case 0x4d: // BININT2
        return this.push(this.view.getUint16(this.take(2), true));
      case 0x8a: // LONG1
        return this.push(this.long(this.view.getUint8(this.take(1))));
      case 0x47: // BINFLOAT
        return this.push(this.view.getFloat64(this.take(8), false));
      case 0x8c: // SHORT_BINUNICODE
        return this.push(this.text(this.view.getUint8(this.take(1))));
      case 0x58: // BINUNICODE
        return this.push(this.text(this.view.getUint32(this.take(4), true)));
      default:
        return false;
    }
  }

  /** Tuples, lists, dicts and the memo. */
  private container(opcode: number): boolean {
    switch (opcode) {
      case 0x28: // MARK
        return this.push(MARK);
      case 0x29: // EMPTY_TUPLE
      case 0x5d: // EMPTY_LIST
        return this.push([]);
      case 0x7d: // EMPTY_DICT
        return this.push(new Map());
      case 0x74: // TUPLE
      case 0x6c: // LIST
        return this.push(this.popToMark());
      case 0x85: // TUPLE1
      case 0x86: // TUPLE2
      case 0x87: // TUPLE3
        return this.push(this.popCount(opcode - 0x84));
      case 0x61: // APPEND
        return this.extend(this.popCount(1));
      case 0x65: // APPENDS
        return this.extend(this.popToMark());
      case 0x73: // SETITEM
        return this.setItems(this.popCount(2));
      case 0x75: // SETITEMS
        return this.setItems(this.popToMark());
      case 0x71: // BINPUT
        return this.remember(this.view.getUint8(this.take(1)));
      case 0x72: // LONG_BINPUT
        return this.remember(this.view.getUint32(this.take(4), true));
      case 0x94: // MEMOIZE
        return this.remember(this.memo.size);
      case 0x68: // BINGET
        return this.recall(this.view.getUint8(this.take(1)));
      case 0x6a: // LONG_BINGET
        return this.recall(this.view.getUint32(this.take(4), true));
      default:
        return false;
    }
  }

  /** Names, calls and persistent ids, which the caller handles. */
  private object(opcode: number): boolean {
    switch (opcode) {
      case 0x63: // GLOBAL
        return this.push(new PickleGlobal(`${this.line()}.${this.line()}`));
      case 0x93: {
        // STACK_GLOBAL
        const [module, name] = this.popCount(2);
        if (typeof module !== 'string' || typeof name !== 'string') throw damaged('a name');
        return this.push(new PickleGlobal(`${module}.${name}`));
      }
      case 0x52: {
        // REDUCE
        const [callee, args] = this.popCount(2);
        if (!(callee instanceof PickleGlobal) || !Array.isArray(args)) throw damaged('a call');
        return this.push(this.hooks.call(callee, args));
      }
      case 0x62: {
        // BUILD: attributes of a dict (state_dict's _metadata) are ignored.
        this.pop();
        if (this.stack.at(-1) instanceof Map) return true;
        throw damaged('an object with attributes');
      }
      case 0x51: // BINPERSID
        return this.push(this.hooks.persistent(this.pop()));
      default:
        return false;
    }
  }

  private push(value: unknown): true {
    this.stack.push(value);
    return true;
  }

  private pop(): unknown {
    if (this.stack.length === 0) throw damaged('an empty stack');
    const value = this.stack.pop();
    if (value === MARK) throw damaged('a mark where a value should be');
    return value;
  }

  private popCount(count: number): unknown[] {
    const values = Array.from({ length: count }, () => this.pop());
    return values.reverse();
  }

  private popToMark(): unknown[] {
    const mark = this.stack.lastIndexOf(MARK);
    if (mark < 0) throw damaged('no mark');
    const values = this.stack.splice(mark + 1);
    this.stack.pop();
    return values;
  }

  private extend(values: unknown[]): true {
    const list = this.stack.at(-1);
    if (!Array.isArray(list)) throw damaged('an append to what is no list');
    for (const value of values) list.push(value);
    return true;
  }

  private setItems(values: unknown[]): true {
    const dict = this.stack.at(-1);
    if (!(dict instanceof Map) || values.length % 2 !== 0)
      throw damaged('items of what is no dict');
    for (let i = 0; i < values.length; i += 2) dict.set(values[i], values[i + 1]);
    return true;
  }

  private remember(index: number): true {
    const value = this.pop();
    this.memo.set(index, value);
    return this.push(value);
  }

  private recall(index: number): true {
    if (!this.memo.has(index)) throw damaged(`no value number ${index}`);
    return this.push(this.memo.get(index));
  }

  /** Integers beyond 53 bits, such as seeds, stay bigints. They are not valid sizes. */
  private long(length: number): number | bigint {
    const start = this.take(length);
    let value = 0n;
    for (let i = length - 1; i >= 0; i--) {
      value = (value << 8n) | BigInt(this.bytes[start + i] ?? 0);
    }
    const signed = BigInt.asIntN(length * 8, value);
    const number = Number(signed);
    return Number.isSafeInteger(number) ? number : signed;
  }

  private text(length: number): string {
    const start = this.take(length);
    return new TextDecoder().decode(this.bytes.subarray(start, start + length));
  }

  private line(): string {
    const end = this.bytes.indexOf(0x0a, this.position);
    if (end < 0) throw damaged('a name without an end');
    const text = this.text(end - this.position);
    this.position = end + 1;
    return text;
  }

  /** Skips bytes and returns their start. */
  private take(length: number): number {
    const start = this.position;
    if (start + length > this.bytes.length) throw damaged('its end before STOP');
    this.position += length;
    return start;
  }
}

function damaged(found: string): CheckpointError {
  return new CheckpointError(`damaged pickle: found ${found}`);
}
