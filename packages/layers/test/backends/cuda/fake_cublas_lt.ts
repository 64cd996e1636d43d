// A fake cuBLASLt that checks every call against NVIDIA's documentation and computes on the emulated device's
// memory, which is host memory.
import type {
  NativeArgument,
  NativeFunction,
  NativeLibrary,
} from '../../../src/backends/cuda/native.js';
import { fromBf16, fromF16, toBf16, toF16 } from './numbers.js';

interface Matrix {
  type: number;
  rows: number;
  columns: number;
  pitch: number;
  count: number;
  offset: number;
}

interface Operation {
  transposesA: boolean;
  transposesB: boolean;
}

const SUCCESS = 0;
const INVALID_VALUE = 7;
const ALGORITHM = 0xa1;
const R_32F = 0;
const R_16F = 2;
const R_16BF = 14;

export class FakeCublasLt implements NativeLibrary {
  /** The functions called, in order. */
  readonly calls: string[] = [];
  /** Invalid calls. */
  readonly faults: string[] = [];
  readonly streams = new Set<bigint>();
  readonly workspaces: number[] = [];
  /** Number of requests for sums of an unsupported type. */
  refused = 0;
  /** Whether it has an algorithm. Tests change it. */
  hasAlgorithms = true;
  private next = 1n;
  private readonly objects = new Map<bigint, Matrix | Operation | Map<number, number> | 'handle'>();

  constructor(
    private readonly view: (address: bigint, bytes: number) => Uint8Array,
    private readonly missing?: string,
  ) {}

  /** Objects that were created and not destroyed. */
  get alive(): number {
    return this.objects.size;
  }

  function(name: string, argumentTypes: readonly string[]): NativeFunction {
    const run = this.functions[name];
    if (!run || name === this.missing) throw new Error(`no function ${name}`);
    return (...args) => {
      this.calls.push(name);
      if (args.length !== argumentTypes.length) {
        this.fault(`${name}: ${args.length} arguments for ${argumentTypes.length}`);
      }
      return run(args);
    };
  }

  private readonly functions: Record<string, (args: NativeArgument[]) => number> = {
    cublasLtCreate: ([out]) => this.make(out, 'handle'),
    cublasLtDestroy: ([handle]) => this.destroy(handle),
    cublasLtMatmulDescCreate: ([out, compute, scale]) => {
      if (compute !== 68 || scale !== R_32F) return this.fault('sums are to be f32');
      return this.make(out, { transposesA: false, transposesB: false });
    },
    cublasLtMatmulDescDestroy: ([handle]) => this.destroy(handle),
    cublasLtMatmulDescSetAttribute: ([handle, attribute, value, bytes]) => {
      const operation = this.operation(handle);
      if (!(value instanceof Int32Array) || bytes !== 4) return this.fault('an int32 expected');
      if (attribute === 3) operation.transposesA = value[0] === 1;
      else if (attribute === 4) operation.transposesB = value[0] === 1;
      else return this.fault(`attribute ${String(attribute)} of an operation`);
      return SUCCESS;
    },
    cublasLtMatrixLayoutCreate: ([out, type, rows, columns, pitch]) => {
      const matrix = { count: 1, offset: 0, type: Number(type), rows: Number(rows) };
      if (Number(pitch) < matrix.rows) return this.fault(`columns overlap: ${String(pitch)}`);
      return this.make(out, { ...matrix, columns: Number(columns), pitch: Number(pitch) });
    },
    cublasLtMatrixLayoutDestroy: ([handle]) => this.destroy(handle),
    cublasLtMatrixLayoutSetAttribute: ([handle, attribute, value, bytes]) => {
      const matrix = this.matrix(handle);
      if (attribute === 5 && value instanceof Int32Array && bytes === 4) {
        matrix.count = value[0] ?? 0;
      } else if (attribute === 6 && value instanceof BigInt64Array && bytes === 8) {
        matrix.offset = Number(value[0]);
      } else return this.fault(`attribute ${String(attribute)} of a matrix`);
      return SUCCESS;
    },
    cublasLtMatmulPreferenceCreate: ([out]) => this.make(out, new Map<number, number>()),
    cublasLtMatmulPreferenceDestroy: ([handle]) => this.destroy(handle),
    cublasLtMatmulPreferenceSetAttribute: ([handle, attribute, value, bytes]) => {
      const preference = this.objects.get(BigInt(Number(handle)));
      if (!(preference instanceof Map)) return this.fault('not a preference');
      const isSize = value instanceof BigUint64Array && bytes === 8 && attribute === 1;
      const isAlignment = value instanceof Uint32Array && bytes === 4 && Number(attribute) >= 5;
      if (!isSize && !isAlignment) return this.fault(`preference ${String(attribute)}`);
      preference.set(Number(attribute), Number(value[0]));
      return SUCCESS;
    },
    cublasLtMatmulAlgoGetHeuristic: (args) => this.advise(args),
    cublasLtMatmul: (args) => this.multiply(args),
  };

  private advise(args: NativeArgument[]): number {
    const [handle, operation, a, b, c, d, preference, wanted, result, count] = args;
    if (this.objects.get(BigInt(Number(handle))) !== 'handle') return this.fault('no handle');
    if (!this.fits(operation, a, b, c, d)) return INVALID_VALUE;
    if (!this.objects.has(BigInt(Number(preference)))) return this.fault('no preference');
    if (!(result instanceof Uint8Array) || result.length !== 96 || wanted !== 1) {
      return this.fault('one result of 96 bytes expected');
    }
    if (!(count instanceof Int32Array)) return this.fault('where does the count go?');
    count[0] = this.hasAlgorithms ? 1 : 0;
    result.fill(ALGORITHM, 0, 64);
    return SUCCESS;
  }

  /** Whether op(A) op(B) has the shape of C and D. */
  private fits(...handles: (NativeArgument | undefined)[]): boolean {
    const [operation, ...rest] = handles;
    const { transposesA, transposesB } = this.operation(operation);
    const [a, b, c, d] = rest.map((handle) => this.matrix(handle));
    if (!a || !b || !c || !d) return false;
    const [m, k] = transposesA ? [a.columns, a.rows] : [a.rows, a.columns];
    const [k2, n] = transposesB ? [b.columns, b.rows] : [b.rows, b.columns];
    const isSum = [c, d].every((s) => s.rows === m && s.columns === n);
    const isType = c.type === d.type && [R_32F, a.type].includes(d.type);
    const isBatch = [a, b, c].every(({ count }) => count === d.count);
    if (k === k2 && isSum && isBatch && a.type === b.type) {
      // Not a fault: the library reports that it does not support this matmul.
      if (!isType) this.refused++;
      return isType;
    }
    this.fault('the shapes do not fit');
    return false;
  }

  private multiply(args: NativeArgument[]): number {
    const [, operation, alpha, aAt, a, bAt, b, beta, cAt, c, dAt, d] = args;
    const [algorithm, workspace, workspaceBytes, stream] = args.slice(12);
    if (!this.fits(operation, a, b, c, d)) return INVALID_VALUE;
    const isKnown =
      algorithm instanceof Uint8Array &&
      algorithm.length === 64 &&
      algorithm.every((byte) => byte === ALGORITHM);
    if (!isKnown) return this.fault('not the algorithm that was advised');
    if (!(alpha instanceof Float32Array) || !(beta instanceof Float32Array)) {
      return this.fault('alpha and beta are f32 in host memory');
    }
    if (workspaceBytes !== 32 << 20 || Number(workspace) % 256 !== 0) {
      return this.fault('a workspace of 32 MiB, aligned to 256 bytes');
    }
    this.streams.add(BigInt(Number(stream)));
    this.workspaces.push(Number(workspace));
    const { transposesA, transposesB } = this.operation(operation);
    const [A, B, C, D] = [a, b, c, d].map((handle) => this.matrix(handle));
    if (!A || !B || !C || !D) return INVALID_VALUE;
    for (let i = 0; i < D.count; i++) {
      const [readA, readB] = [this.reader(aAt, A, i), this.reader(bAt, B, i)];
      const readC = this.reader(cAt, C, i);
      const write = this.writer(dAt, D);
      const depth = transposesA ? A.rows : A.columns;
      for (let n = 0; n < D.columns; n++) {
        for (let m = 0; m < D.rows; m++) {
          let sum = 0;
          for (let k = 0; k < depth; k++) {
            const left = transposesA ? readA(k, m) : readA(m, k);
            sum += left * (transposesB ? readB(n, k) : readB(k, n));
          }
          const more = beta[0] ? beta[0] * readC(m, n) : 0;
          write(i * D.offset + n * D.pitch + m, (alpha[0] ?? 0) * sum + more);
        }
      }
    }
    return SUCCESS;
  }

  /** Element (row, column) of the i-th matrix at an address, column-major. */
  private reader(
    address: NativeArgument | undefined,
    matrix: Matrix,
    i: number,
  ): (row: number, column: number) => number {
    const bytes = matrix.type === R_32F ? 4 : 2;
    const size = bytes * (matrix.offset * (matrix.count - 1) + extent(matrix));
    const memory = this.view(BigInt(Number(address)), size);
    const view = new DataView(memory.buffer, memory.byteOffset, size);
    return (row, column) => {
      const at = bytes * (i * matrix.offset + column * matrix.pitch + row);
      if (matrix.type === R_32F) return view.getFloat32(at, true);
      const bits = view.getUint16(at, true);
      return matrix.type === R_16BF ? fromBf16(bits) : fromF16(bits);
    };
  }

  private writer(
    address: NativeArgument | undefined,
    matrix: Matrix,
  ): (at: number, value: number) => void {
    const bytes = matrix.type === R_32F ? 4 : 2;
    const size = bytes * (matrix.offset * (matrix.count - 1) + extent(matrix));
    const memory = this.view(BigInt(Number(address)), size);
    const view = new DataView(memory.buffer, memory.byteOffset, size);
    return (at, value) => {
      if (matrix.type === R_32F) view.setFloat32(4 * at, value, true);
      else view.setUint16(2 * at, matrix.type === R_16BF ? toBf16(value) : toF16(value), true);
    };
  }

  private make(
    out: NativeArgument | undefined,
    object: Matrix | Operation | 'handle' | Map<number, number>,
  ): number {
    if (!(out instanceof BigUint64Array)) return this.fault('where does the handle go?');
    out[0] = this.next;
    this.objects.set(this.next++, object);
    return SUCCESS;
  }

  private destroy(handle: NativeArgument | undefined): number {
    return this.objects.delete(BigInt(Number(handle))) ? SUCCESS : this.fault('destroyed twice');
  }

  private matrix(handle: NativeArgument | undefined): Matrix {
    const found = this.objects.get(BigInt(Number(handle)));
    if (typeof found === 'object' && 'pitch' in found) return found;
    this.fault('not a matrix');
    return { type: R_16F, rows: 0, columns: 0, pitch: 0, count: 0, offset: 0 };
  }

  private operation(handle: NativeArgument | undefined): Operation {
    const found = this.objects.get(BigInt(Number(handle)));
    if (typeof found === 'object' && 'transposesA' in found) return found;
    this.fault('not an operation');
    return { transposesA: false, transposesB: false };
  }

  private fault(what: string): number {
    this.faults.push(what);
    return INVALID_VALUE;
  }
}

/** Number of values from the first to the last of a matrix. */
function extent({ pitch, columns, rows }: Matrix): number {
  return (columns - 1) * pitch + rows;
}
