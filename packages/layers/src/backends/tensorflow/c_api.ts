// Bindings to TensorFlow's C API for ops and kernels, in the library that tfjs-node has loaded.
//
// TensorFlow's pointers (contexts, tensors, builders, statuses) are numbers here.
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { LibraryHandle, TypeObject } from 'koffi';
import { BackendError } from '../../errors.js';
import { loadKoffi } from '../cuda/native.js';

const P = 'uint64'; // a pointer owned by TensorFlow, or device memory
const OUT = 'void *'; // our memory, which the callee writes
const S = 'str';

/** Result and argument types of every function. CREATE and COMPUTE are our callbacks. */
const signatures = {
  TF_NewStatus: [P, []],
  TF_GetCode: ['int', [P]],
  TF_Message: [S, [P]],
  TF_SetStatus: ['void', [P, 'int', S]],
  TF_GetRegisteredKernelsForOp: [P, [S, P]],
  TF_DeleteBuffer: ['void', [P]],
  TF_NewOpDefinitionBuilder: [P, [S]],
  TF_OpDefinitionBuilderAddAttr: ['void', [P, S]],
  TF_OpDefinitionBuilderAddInput: ['void', [P, S]],
  TF_OpDefinitionBuilderAddOutput: ['void', [P, S]],
  TF_OpDefinitionBuilderSetShapeInferenceFunction: ['void', [P, 'SHAPE']],
  TF_ShapeInferenceContextSetUnknownShape: ['void', [P, P]],
  TF_RegisterOpDefinition: ['void', [P, P]],
  TF_NewKernelBuilder: [P, [S, S, 'CREATE', 'COMPUTE', OUT]],
  TF_KernelBuilder_HostMemory: ['void', [P, S]],
  TF_RegisterKernelBuilder: ['void', [S, P, P]],
  TF_OpKernelConstruction_GetAttrSize: ['void', [P, S, OUT, OUT, P]],
  TF_OpKernelConstruction_GetAttrString: ['void', [P, S, OUT, 'size_t', P]],
  TF_OpKernelConstruction_Failure: ['void', [P, P]],
  TF_OpKernelContext_Failure: ['void', [P, P]],
  TF_NumInputs: ['int', [P]],
  TF_GetInput: ['void', [P, 'int', OUT, P]],
  TF_SetOutput: ['void', [P, 'int', P, P]],
  TF_AllocateTemp: [P, [P, 'int', OUT, 'int', OUT, P]],
  TF_TensorData: [P, [P]],
  TF_TensorType: ['int', [P]],
  TF_NumDims: ['int', [P]],
  TF_Dim: ['int64', [P, 'int']],
  TF_DeleteTensor: ['void', [P]],
} as const satisfies Record<string, readonly [result: string, args: readonly string[]]>;

type Name = keyof typeof signatures;
/** Numbers, pointers, memory, and our functions that koffi has registered. */
type Argument = number | bigint | string | ArrayBufferView | null;
type NativeFunction = ReturnType<LibraryHandle['func']>;

/** TF_DataType */
export const TF_FLOAT = 1;
export const TF_INT32 = 3;
/** TF_Code */
const INTERNAL = 13;

/** A kernel: created once for each set of attributes, then run. */
export interface OpKernel {
  /** @returns an id that `compute` receives for these attributes */
  create(construction: number): number;
  compute(self: number, context: number): void;
}

export class TensorflowApi {
  /** The status that all calls report to. */
  private readonly status: number;

  private constructor(
    private readonly koffi: typeof import('koffi'),
    private readonly functions: ReadonlyMap<Name, NativeFunction>,
    private readonly callbacks: { shape: TypeObject; create: TypeObject; compute: TypeObject },
  ) {
    this.status = this.call('TF_NewStatus');
  }

  /**
   * @param entry the module file of tfjs-node(-gpu); its package contains the library
   * @throws BackendError without koffi, or if the library lacks a function
   */
  static async open(entry: string): Promise<TensorflowApi> {
    const koffi = await loadKoffi();
    const libraries = libraryFiles(entry).map((file) => koffi.load(file));
    if (libraries.length === 0) {
      throw new BackendError(
        `TensorFlow's library is missing: expected it in deps/lib of the package of ${entry}`,
      );
    }
    const pointerTo = (declaration: string) => koffi.pointer(koffi.proto(declaration));
    const callbacks = {
      shape: pointerTo('void ReneShape(uint64 context, uint64 status)'),
      create: pointerTo('uint64 ReneCreate(uint64 construction)'),
      compute: pointerTo('void ReneCompute(uint64 self, uint64 context)'),
    };
    const typeOf = (name: string) =>
      ({ SHAPE: callbacks.shape, CREATE: callbacks.create, COMPUTE: callbacks.compute })[name] ??
      name;
    const functions = new Map<Name, NativeFunction>();
    for (const name of Object.keys(signatures)) {
      if (!isName(name)) continue;
      const [result, args] = signatures[name];
      for (const library of libraries) {
        try {
          functions.set(name, library.func(name, result, args.map(typeOf)));
          break;
        } catch {
          // The other library may contain it.
        }
      }
      if (!functions.has(name))
        throw new BackendError(`this version of TensorFlow does not export ${name}`);
    }
    return new TensorflowApi(koffi, functions, callbacks);
  }

  /** Calls a function. Returns its number, or 0 if it returns nothing. */
  call(name: Name, ...args: Argument[]): number {
    const result: unknown = this.functions.get(name)?.(...args);
    if (typeof result === 'bigint') return Number(result); // user addresses are below 2^48
    return typeof result === 'number' ? result : 0;
  }

  /** Calls a function whose last argument is a status. @throws BackendError with its message */
  checked(what: string, name: Name, ...args: Argument[]): number {
    const { status } = this;
    const result = this.call(name, ...args, status);
    if (this.call('TF_GetCode', status) === 0) return result;
    const message = String(this.functions.get('TF_Message')?.(status));
    this.call('TF_SetStatus', status, 0, '');
    throw new BackendError(`TensorFlow: ${what}: ${message}`);
  }

  /** Makes the running op fail. */
  fail(context: number, message: string): void {
    this.failure('TF_OpKernelContext_Failure', context, message);
  }

  failConstruction(construction: number, message: string): void {
    this.failure('TF_OpKernelConstruction_Failure', construction, message);
  }

  /** Whether this process already has kernels for an op. */
  hasKernels(op: string): boolean {
    // A TF_Buffer: address, then length.
    const buffer = this.checked(op, 'TF_GetRegisteredKernelsForOp', op);
    const [, length] = new BigUint64Array(this.koffi.view(buffer, 16));
    this.call('TF_DeleteBuffer', buffer);
    return length !== 0n;
  }

  /** Defines an op. `inputs`, `outputs` and `attrs` are in TensorFlow's syntax, such as 'x: float'. */
  registerOp(
    op: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attrs: readonly string[],
  ): void {
    const builder = this.call('TF_NewOpDefinitionBuilder', op);
    for (const attr of attrs) this.call('TF_OpDefinitionBuilderAddAttr', builder, attr);
    for (const input of inputs) this.call('TF_OpDefinitionBuilderAddInput', builder, input);
    for (const output of outputs) this.call('TF_OpDefinitionBuilderAddOutput', builder, output);
    // The kernels determine the output shapes when they run.
    const shape = this.koffi.register((context: number, status: number) => {
      this.call('TF_ShapeInferenceContextSetUnknownShape', context, status);
    }, this.callbacks.shape);
    this.call('TF_OpDefinitionBuilderSetShapeInferenceFunction', builder, shape);
    this.checked(`defining ${op}`, 'TF_RegisterOpDefinition', builder);
  }

  /** Registers the kernel of an op. It must run on JavaScript's thread, so not in a SavedModel. */
  registerKernel(
    op: string,
    device: 'CPU' | 'GPU',
    hostInputs: readonly string[],
    kernel: OpKernel,
  ): void {
    const create = this.koffi.register(kernel.create, this.callbacks.create);
    const compute = this.koffi.register(kernel.compute, this.callbacks.compute);
    // No delete callback: TensorFlow deletes kernels at exit, when JavaScript has ended.
    const builder = this.call('TF_NewKernelBuilder', op, device, create, compute, null);
    for (const input of hostInputs) this.call('TF_KernelBuilder_HostMemory', builder, input);
    this.checked(`the kernel of ${op}`, 'TF_RegisterKernelBuilder', `${op}Kernel`, builder);
  }

  /** A string attribute of a kernel in construction. */
  stringAttr(construction: number, name: string): string {
    const sizes = new Int32Array(32);
    const get = 'TF_OpKernelConstruction_GetAttrSize';
    this.checked(name, get, construction, name, sizes.subarray(0, 16), sizes.subarray(16));
    const bytes = new Uint8Array(Math.max(128, sizes[16] ?? 0));
    const size = sizes[16] ?? 0;
    const read = 'TF_OpKernelConstruction_GetAttrString';
    this.checked(name, read, construction, name, bytes, size);
    return new TextDecoder().decode(bytes.subarray(0, size));
  }

  /** int32 values at an address in host memory. */
  hostIntegers(address: number, count: number): number[] {
    return [...new Int32Array(this.koffi.view(address, 4 * count))];
  }

  private failure(
    name: 'TF_OpKernelContext_Failure' | 'TF_OpKernelConstruction_Failure',
    context: number,
    message: string,
  ): void {
    this.call('TF_SetStatus', this.status, INTERNAL, message);
    this.call(name, context, this.status);
    this.call('TF_SetStatus', this.status, 0, '');
  }
}

function isName(name: string): name is Name {
  return name in signatures;
}

const libraryNames: Partial<Record<NodeJS.Platform, readonly string[]>> = {
  linux: ['libtensorflow_framework.so.2', 'libtensorflow.so.2'],
  darwin: ['libtensorflow_framework.2.dylib', 'libtensorflow.2.dylib'],
  win32: ['tensorflow.dll'],
};

/** The package has its libraries in `deps/lib`, next to `dist`. */
function libraryFiles(entry: string): string[] {
  const folder = join(dirname(dirname(entry)), 'deps', 'lib');
  const names = libraryNames[process.platform] ?? [];
  return names.map((name) => join(folder, name)).filter((file) => existsSync(file));
}
