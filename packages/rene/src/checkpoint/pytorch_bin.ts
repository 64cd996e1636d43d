// pytorch_model.bin: a zip archive with a pickled dict of tensors and a file for each storage.
import { CheckpointError } from '../errors.js';
import type { ByteSource } from './byte_source.js';
import { PickleGlobal, unpickle } from './pickle.js';
import {
  DTYPE_BYTES,
  sizeOf,
  type TensorFile,
  type TensorInfo,
  tensorInfo,
} from './tensor_file.js';
import { isZip, readZip, type ZipEntry } from './zip.js';

const STORAGE_DTYPES: ReadonlyMap<string, string> = new Map([
  ['torch.FloatStorage', 'F32'],
  ['torch.HalfStorage', 'F16'],
  ['torch.BFloat16Storage', 'BF16'],
  ['torch.DoubleStorage', 'F64'],
  ['torch.LongStorage', 'I64'],
  ['torch.IntStorage', 'I32'],
  ['torch.ShortStorage', 'I16'],
  ['torch.CharStorage', 'I8'],
  ['torch.ByteStorage', 'U8'],
  ['torch.BoolStorage', 'BOOL'],
]);

/** The pickle of a 2.7 B model has 60 KB; what is much larger holds no state_dict. */
const MAX_PICKLE_BYTES = 64 << 20;

/** PyTorch's own limit of axes. */
const MAX_RANK = 64;

/** A run of numbers in the archive; several tensors may share one. */
class Storage {
  constructor(
    readonly dtype: string,
    /** The name of its file under data/. */
    readonly key: string,
    /** Elements. */
    readonly length: number,
  ) {}
}

class StoredTensor implements TensorInfo {
  readonly dtype: string;
  constructor(
    readonly storage: Storage,
    /** Elements of the storage before the first of the tensor. */
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {
    this.dtype = storage.dtype;
  }
}

/**
 * Opens what `torch.save(model.state_dict(), path)` wrote (PyTorch 1.6 or later). The pickle in it
 * is read by a reader that runs no code: only tensors in a dict are accepted. The source is closed
 * when that fails, and otherwise with the file.
 *
 * @throws CheckpointError saying what was found that is not allowed, or is damaged.
 */
export async function openPyTorchBin(source: ByteSource): Promise<TensorFile> {
  try {
    return await open(source);
  } catch (error) {
    await source.close();
    if (!(error instanceof CheckpointError) || error.message.startsWith(source.name)) throw error;
    throw new CheckpointError(`${source.name}: ${error.message}`, undefined, { cause: error });
  }
}

async function open(source: ByteSource): Promise<TensorFile> {
  if (!(await isZip(source))) {
    throw new CheckpointError(
      'not a zip archive; files of PyTorch before 1.6 must be saved again, as safetensors at best',
    );
  }
  const entries = await readZip(source);
  const pickleName = [...entries.keys()].find((name) => /^[^/]+\/data\.pkl$/.test(name));
  const pickle = entries.get(pickleName ?? '');
  if (!pickleName || !pickle)
    throw new CheckpointError('it holds no data.pkl; is it a PyTorch file?');
  if (pickle.size > MAX_PICKLE_BYTES) {
    throw new CheckpointError(`its data.pkl has ${pickle.size} bytes; it is no state_dict`);
  }
  const root = pickleName.slice(0, -'data.pkl'.length);
  await checkByteOrder(source, entries.get(`${root}byteorder`));
  const tensors = stateDict(unpickle(await source.read(pickle.start, pickle.size), HOOKS));
  const starts = new Map<string, number>();
  for (const [name, tensor] of tensors) {
    starts.set(name, tensorStart(name, tensor, entries.get(`${root}data/${tensor.storage.key}`)));
  }
  const file: TensorFile = {
    name: source.name,
    tensors,
    metadata: new Map(),
    async read(name, start, length) {
      const { dtype, shape } = tensorInfo(file, name);
      const bytes = sizeOf(shape) * (DTYPE_BYTES.get(dtype) ?? 0);
      if (start < 0 || length < 0 || start + length > bytes) {
        throw new CheckpointError(
          `${source.name}: tensor '${name}' has ${bytes} bytes, not ${start + length}`,
        );
      }
      return source.read((starts.get(name) ?? 0) + start, length);
    },
    close: () => source.close(),
  };
  return file;
}

async function checkByteOrder(source: ByteSource, entry: ZipEntry | undefined): Promise<void> {
  if (!entry) return;
  const order = new TextDecoder().decode(await source.read(entry.start, Math.min(entry.size, 16)));
  if (order !== 'little') throw new CheckpointError(`its numbers are ${order}-endian`);
}

/** The few functions and classes that a state_dict is pickled with, done by hand. */
const HOOKS = {
  call(global: PickleGlobal, args: readonly unknown[]): unknown {
    if (global.name === 'collections.OrderedDict' && args.length === 0) return new Map();
    if (global.name === 'torch._utils._rebuild_tensor_v2') return rebuildTensor(args);
    if (global.name === 'torch._utils._rebuild_parameter') return args[0];
    throw new CheckpointError(
      `its pickle calls ${global.name}, which is not allowed: only a dict of tensors is read`,
    );
  },
  persistent(id: unknown): Storage {
    const [kind, type, key, , length] = Array.isArray(id) ? id : [];
    if (
      kind === 'storage' &&
      type instanceof PickleGlobal &&
      typeof key === 'string' &&
      isSize(length)
    ) {
      const dtype = STORAGE_DTYPES.get(type.name);
      if (dtype) return new Storage(dtype, key, length);
      throw new CheckpointError(`its storage type ${type.name} is not supported`);
    }
    throw new CheckpointError('its pickle refers to something that is no storage');
  },
};

function rebuildTensor([storage, offset, shape, strides]: readonly unknown[]): StoredTensor {
  if (storage instanceof Storage && isSize(offset) && isSizes(shape) && isSizes(strides)) {
    if (shape.length === strides.length) return new StoredTensor(storage, offset, shape, strides);
  }
  throw new CheckpointError(
    'a tensor in its pickle has no valid storage, offset, shape or strides',
  );
}

function stateDict(value: unknown): Map<string, StoredTensor> {
  if (!(value instanceof Map)) throw new CheckpointError('its pickle is no dict of tensors');
  const tensors = new Map<string, StoredTensor>();
  for (const [name, tensor] of value) {
    if (typeof name === 'string' && tensor instanceof StoredTensor) tensors.set(name, tensor);
    else throw new CheckpointError(`'${name}' in its dict is no tensor; expected a state_dict`);
  }
  return tensors;
}

/** Where a tensor's bytes start in the archive, checked against its storage's file. */
function tensorStart(name: string, tensor: StoredTensor, entry: ZipEntry | undefined): number {
  const { storage, offset, shape, strides } = tensor;
  const fail = (problem: string) => new CheckpointError(`tensor '${name}': ${problem}`);
  if (!entry) throw fail(`its storage '${storage.key}' is not in the archive`);
  if (!isContiguous(shape, strides)) {
    throw fail(`it is not contiguous; save the model again with .contiguous() tensors`);
  }
  const itemBytes = DTYPE_BYTES.get(storage.dtype) ?? 0;
  const end = offset + sizeOf(shape);
  if (end > storage.length || end * itemBytes > entry.size) {
    throw fail(`it needs ${end} numbers, its storage holds ${Math.floor(entry.size / itemBytes)}`);
  }
  return entry.start + offset * itemBytes;
}

function isContiguous(shape: readonly number[], strides: readonly number[]): boolean {
  if (sizeOf(shape) === 0) return true;
  let expected = 1;
  for (let axis = shape.length - 1; axis >= 0; axis--) {
    const size = shape[axis] ?? 1;
    if (size !== 1 && strides[axis] !== expected) return false;
    expected *= size;
  }
  return true;
}

function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** Short ones only: a list that many tensors of a hostile pickle share must not be walked for each. */
function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= MAX_RANK && value.every(isSize);
}
