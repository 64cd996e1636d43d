// Matmuls by NVIDIA's cuBLASLt, if it is installed: bindings to its C interface.
//
// It is column-major, so our y (rows, features) is its D (features, rows), with w as A and x as B. The
// algorithm for a shape is looked up once.
import { BackendError } from '../../errors.js';
import { CudaError } from './device.js';
import type { Gemm } from './gemm.js';
import {
  type NativeArgument,
  type NativeFunction,
  type NativeLibrary,
  openLibrary,
} from './native.js';

/** Workspace size: NVIDIA's recommendation for Hopper. */
export const WORKSPACE_BYTES = 32 << 20;
/** Maximum number of cached plans, since prompts have many lengths. */
const MOST_PLANS = 1024;

const H = 'uint64';
const P = 'void *';
const signatures = {
  cublasLtCreate: [P],
  cublasLtDestroy: [H],
  cublasLtMatmulDescCreate: [P, 'int', 'int'],
  cublasLtMatmulDescDestroy: [H],
  cublasLtMatmulDescSetAttribute: [H, 'int', P, 'size_t'],
  cublasLtMatrixLayoutCreate: [P, 'int', 'uint64', 'uint64', 'int64'],
  cublasLtMatrixLayoutDestroy: [H],
  cublasLtMatrixLayoutSetAttribute: [H, 'int', P, 'size_t'],
  cublasLtMatmulPreferenceCreate: [P],
  cublasLtMatmulPreferenceDestroy: [H],
  cublasLtMatmulPreferenceSetAttribute: [H, 'int', P, 'size_t'],
  cublasLtMatmulAlgoGetHeuristic: [H, H, H, H, H, H, H, 'int', P, P],
  cublasLtMatmul: [H, H, P, H, H, H, H, P, H, H, H, H, P, H, 'size_t', H],
} satisfies Record<string, readonly string[]>;
type LtFunction = keyof typeof signatures;

// Constants of cublasLt.h, cublas_api.h and library_types.h.
const SUCCESS = 0;
const INVALID_VALUE = 7;
const NOT_SUPPORTED = 15;
const COMPUTE_32F = 68;
const R_32F = 0;
const dataTypes = { f32: R_32F, f16: 2, bf16: 14 };
const DESC_TRANSA = 3;
const DESC_TRANSB = 4;
const TRANSPOSED = 1;
const LAYOUT_BATCH_COUNT = 5;
const LAYOUT_STRIDED_BATCH_OFFSET = 6;
const PREF_MAX_WORKSPACE_BYTES = 1;
const PREF_MIN_ALIGNMENT_A_BYTES = 5;
/** cublasLtMatmulHeuristicResult_t: the algorithm, then its requirements. */
const RESULT_BYTES = 96;
const ALGORITHM_BYTES = 64;
const MOST_ALIGNMENT = 256;

const statusNames: Readonly<Record<number, string>> = {
  1: 'NOT_INITIALIZED',
  3: 'ALLOC_FAILED',
  [INVALID_VALUE]: 'INVALID_VALUE',
  8: 'ARCH_MISMATCH',
  13: 'EXECUTION_FAILED',
  14: 'INTERNAL_ERROR',
  [NOT_SUPPORTED]: 'NOT_SUPPORTED',
};

/** Library names, newest first. */
const libraryNames = ['libcublasLt.so.13', 'libcublasLt.so.12'];

/** The cached plan of a shape; `algorithm` is undefined if the library has none for it. */
interface Plan {
  descriptor: bigint;
  layouts: readonly bigint[];
  algorithm: Uint8Array | undefined;
}

export class CublasLt {
  private readonly plans = new Map<string, Plan>();
  private readonly one = Float32Array.of(1);
  private readonly zero = Float32Array.of(0);

  private constructor(
    private readonly functions: ReadonlyMap<string, NativeFunction>,
    private readonly handle: bigint,
  ) {}

  /**
   * Starts the library in the current CUDA context.
   *
   * @throws BackendError if a function is missing, CudaError if it does not start
   */
  static start(library: NativeLibrary): CublasLt {
    const functions = new Map<string, NativeFunction>();
    for (const [name, types] of Object.entries(signatures)) {
      try {
        functions.set(name, library.function(name, types));
      } catch (cause) {
        throw new BackendError(`cuBLASLt has no ${name} here`, { cause });
      }
    }
    const handle = new BigUint64Array(1);
    call(functions, 'cublasLtCreate', handle);
    return new CublasLt(functions, handle[0] ?? 0n);
  }

  /**
   * The installed library; undefined if there is none, or RENE_CUBLASLT is 0. RENE_CUBLASLT may also name
   * the file.
   *
   * @throws what start() throws; BackendError if a named file does not load
   */
  static async open(): Promise<CublasLt | undefined> {
    const chosen = process.env.RENE_CUBLASLT;
    if (chosen === '0') return undefined;
    for (const name of chosen ? [chosen] : libraryNames) {
      try {
        const library = await openLibrary(name);
        return CublasLt.start(library);
      } catch (cause) {
        if (cause instanceof BackendError || cause instanceof CudaError) throw cause;
        if (chosen) throw new BackendError(`RENE_CUBLASLT: ${chosen} does not load`, { cause });
      }
    }
    return undefined;
  }

  /** Looks up the algorithm of a gemm; false if there is none. */
  prepare(gemm: Gemm): boolean {
    return this.planOf(gemm).algorithm !== undefined;
  }

  /**
   * Computes a gemm on the stream; can be recorded.
   *
   * @param workspace WORKSPACE_BYTES of device memory, aligned to 256 bytes
   * @returns false if the library has no algorithm and nothing was computed
   * @throws CudaError
   */
  gemm(gemm: Gemm, workspace: number, stream: bigint): boolean {
    const { descriptor, layouts, algorithm } = this.planOf(gemm);
    if (!algorithm) return false;
    const [a = 0n, b = 0n, c = 0n, d = 0n] = layouts;
    const { x, w, y, residual = 0 } = gemm;
    call(
      this.functions,
      'cublasLtMatmul',
      ...[this.handle, descriptor, this.one, w, a, x, b],
      ...[residual === 0 ? this.zero : this.one, residual === 0 ? y : residual, c, y, d],
      ...[algorithm, workspace, WORKSPACE_BYTES, stream],
    );
    return true;
  }

  dispose(): void {
    for (const plan of this.plans.values()) this.free(plan);
    this.plans.clear();
    call(this.functions, 'cublasLtDestroy', this.handle);
  }

  private planOf(gemm: Gemm): Plan {
    const { format, rows, features, depth, xPitch, wPitch, yPitch, yFormat, batch } = gemm;
    const alignments = alignmentsOf(gemm);
    const key = [
      ...[format, rows, features, depth, xPitch, wPitch, yPitch, yFormat, gemm.residual ? 1 : 0],
      ...[gemm.xTransposed ? 1 : 0, gemm.wTransposed ? 1 : 0],
      ...[batch?.count, batch?.x, batch?.w, batch?.y, ...alignments],
    ].join();
    const known = this.plans.get(key);
    if (known) return known;
    const plan = this.plan(gemm, alignments);
    this.plans.set(key, plan);
    const [oldest] = this.plans;
    if (oldest && this.plans.size > MOST_PLANS) {
      this.plans.delete(oldest[0]);
      this.free(oldest[1]);
    }
    return plan;
  }

  private plan(gemm: Gemm, alignments: readonly number[]): Plan {
    const descriptor = this.create('cublasLtMatmulDescCreate', COMPUTE_32F, R_32F);
    const layouts: bigint[] = [];
    try {
      const set = (name: number, value: ArrayBufferView) =>
        this.set('cublasLtMatmulDescSetAttribute', descriptor, name, value);
      if (!gemm.wTransposed) set(DESC_TRANSA, Int32Array.of(TRANSPOSED));
      if (gemm.xTransposed) set(DESC_TRANSB, Int32Array.of(TRANSPOSED));
      for (const layout of layoutsOf(gemm)) layouts.push(this.layout(layout, gemm.batch));
      return { descriptor, layouts, algorithm: this.ask(descriptor, layouts, alignments) };
    } catch (error) {
      this.free({ descriptor, layouts });
      throw error;
    }
  }

  private layout({ type, rows, columns, pitch, batchOffset }: Layout, batch: Gemm['batch']) {
    const handle = this.create('cublasLtMatrixLayoutCreate', type, rows, columns, pitch);
    if (batch) {
      const name = 'cublasLtMatrixLayoutSetAttribute';
      this.set(name, handle, LAYOUT_BATCH_COUNT, Int32Array.of(batch.count));
      const offset = BigInt64Array.of(BigInt(batchOffset));
      this.set(name, handle, LAYOUT_STRIDED_BATCH_OFFSET, offset);
    }
    return handle;
  }

  /** The algorithm that the library recommends. */
  private ask(
    descriptor: bigint,
    layouts: readonly bigint[],
    alignments: readonly number[],
  ): Uint8Array | undefined {
    const preference = this.create('cublasLtMatmulPreferenceCreate');
    try {
      const set = (name: number, value: ArrayBufferView) =>
        this.set('cublasLtMatmulPreferenceSetAttribute', preference, name, value);
      set(PREF_MAX_WORKSPACE_BYTES, BigUint64Array.of(BigInt(WORKSPACE_BYTES)));
      alignments.forEach((bytes, i) => {
        set(PREF_MIN_ALIGNMENT_A_BYTES + i, Uint32Array.of(bytes));
      });
      const result = new Uint8Array(RESULT_BYTES);
      const count = new Int32Array(1);
      const status = tryCall(
        this.functions,
        'cublasLtMatmulAlgoGetHeuristic',
        ...[this.handle, descriptor, ...layouts, preference, 1, result, count],
      );
      if (status === NOT_SUPPORTED || status === INVALID_VALUE) return undefined;
      check(status, 'cublasLtMatmulAlgoGetHeuristic');
      const state = new DataView(result.buffer).getInt32(ALGORITHM_BYTES + 8, true);
      return count[0] === 1 && state === SUCCESS ? result.slice(0, ALGORITHM_BYTES) : undefined;
    } finally {
      call(this.functions, 'cublasLtMatmulPreferenceDestroy', preference);
    }
  }

  private create(name: LtFunction, ...args: NativeArgument[]): bigint {
    const handle = new BigUint64Array(1);
    call(this.functions, name, handle, ...args);
    return handle[0] ?? 0n;
  }

  private set(name: LtFunction, handle: bigint, attribute: number, value: ArrayBufferView): void {
    call(this.functions, name, handle, attribute, value, value.byteLength);
  }

  private free({ descriptor, layouts }: Pick<Plan, 'descriptor' | 'layouts'>): void {
    for (const layout of layouts) call(this.functions, 'cublasLtMatrixLayoutDestroy', layout);
    call(this.functions, 'cublasLtMatmulDescDestroy', descriptor);
  }
}

interface Layout {
  type: number;
  rows: number;
  columns: number;
  pitch: number;
  batchOffset: number;
}

/** Layouts of A, B, C and D, column-major. */
function layoutsOf(gemm: Gemm): readonly Layout[] {
  const { format, rows, features, depth, batch } = gemm;
  const factor = (
    outer: number,
    pitch: number,
    isTransposed: boolean | undefined,
    offset: number | undefined,
  ): Layout => ({
    type: dataTypes[format],
    rows: isTransposed ? outer : depth,
    columns: isTransposed ? depth : outer,
    pitch,
    batchOffset: offset ?? 0,
  });
  const sums = (pitch: number): Layout => ({
    type: dataTypes[gemm.yFormat ?? 'f32'],
    rows: features,
    columns: rows,
    pitch,
    batchOffset: batch?.y ?? 0,
  });
  return [
    factor(features, gemm.wPitch, gemm.wTransposed, batch?.w),
    factor(rows, gemm.xPitch, gemm.xTransposed, batch?.x),
    sums(gemm.residual ? features : gemm.yPitch),
    sums(gemm.yPitch),
  ];
}

/** Alignment of the addresses of A, B, C and D. */
function alignmentsOf({ x, w, y, residual }: Gemm): readonly number[] {
  return [w, x, residual || y, y].map((address) => {
    let alignment = MOST_ALIGNMENT;
    while (address % alignment !== 0) alignment /= 2;
    return alignment;
  });
}

function call(
  functions: ReadonlyMap<string, NativeFunction>,
  name: LtFunction,
  ...args: NativeArgument[]
): void {
  check(tryCall(functions, name, ...args), name);
}

function tryCall(
  functions: ReadonlyMap<string, NativeFunction>,
  name: LtFunction,
  ...args: NativeArgument[]
): number {
  const run = functions.get(name);
  if (!run) throw new BackendError(`cuBLASLt has no ${name} here`);
  return run(...args);
}

function check(status: number, name: LtFunction): void {
  if (status === SUCCESS) return;
  const code = `CUBLAS_STATUS_${statusNames[status] ?? status}`;
  throw new CudaError(`cuBLASLt: ${name}: ${code}`, code);
}
