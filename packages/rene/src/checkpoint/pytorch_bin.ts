// pytorch_model.bin: a zip archive with a pickled dict of tensors and a file for each storage.
import { CheckpointError } from '../errors.js';
import type { ByteSource } from './byte_source.js';
import { fileKind } from './file_kind.js';
import { PickleGlobal, unpickle } from './pickle.js';
import { endOf, gather, isContiguous, type StridedLayout } from './strided.js';
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

/** The pickle of a 2.7 B model has 60 KB. A much larger one is not a state_dict. */
const MAX_PICKLE_BYTES = 64 << 20;

/** PyTorch's limit of dimensions. */
const MAX_RANK = 64;

/** Maximum elements of an expanded tensor, so that a small file cannot fill the memory. */
const MAX_REPEATED = 1 << 24;

/** Keys under which training scripts and frameworks store a state_dict. */
const STATE_DICT_KEYS = [
  ...['state_dict', 'model_state_dict', 'model_state', 'model', 'module', 'net', 'network'],
  ...['weights', 'params'],
];
const MAX_DEPTH = 4;

/** A storage in the archive; several tensors may share it. */
class Storage {
  constructor(
    readonly dtype: string,
    /** The name of its file under data/. */
    readonly key: string,
    /** Number of elements. */
    readonly length: number,
  ) {}
}

class StoredTensor implements TensorInfo, StridedLayout {
  readonly dtype: string;
  constructor(
    readonly storage: Storage,
    /** Offset of the tensor in the storage, in elements. */
    readonly offset: number,
    readonly shape: readonly number[],
    readonly strides: readonly number[],
  ) {
    this.dtype = storage.dtype;
  }
}

/**
 * Opens a file written by `torch.save(model.state_dict(), path)` (PyTorch 1.6 or later), or a training
 * checkpoint with the state_dict under 'state_dict', 'model' or similar. The pickle is read without running
 * code: tensors in a dict are used, numbers and texts ignored. The source is closed on failure, else with
 * the file.
 *
 * @throws CheckpointError naming what is not allowed or damaged
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
    const kind = await fileKind(source);
    if (kind !== undefined)
      throw new CheckpointError(`expected a zip archive of PyTorch, found ${kind}`);
    throw new CheckpointError(
      'not a zip archive; save files of PyTorch before 1.6 again, preferably as safetensors',
    );
  }
  const entries = await readZip(source);
  const pickleName = [...entries.keys()].find((name) => /^[^/]+\/data\.pkl$/.test(name));
  const pickle = entries.get(pickleName ?? '');
  if (!pickleName || !pickle)
    throw new CheckpointError('the archive has no data.pkl: expected a PyTorch file');
  if (pickle.size > MAX_PICKLE_BYTES) {
    throw new CheckpointError(`its data.pkl has ${pickle.size} bytes, too many for a state_dict`);
  }
  const root = pickleName.slice(0, -'data.pkl'.length);
  await checkByteOrder(source, entries.get(`${root}byteorder`));
  const tensors = stateDict(unpickle(await source.read(pickle.start, pickle.size), HOOKS));
  const starts = new Map<StoredTensor, number>();
  for (const [name, tensor] of tensors) {
    const entry = entries.get(`${root}data/${tensor.storage.key}`);
    starts.set(tensor, storageStart(name, tensor, entry));
  }
  // A matrix is read a few rows at a time, and gathered once.
  let gathered: { tensor: StoredTensor; bytes: Promise<Uint8Array> } | undefined;
  const file: TensorFile = {
    name: source.name,
    tensors,
    metadata: new Map(),
    async read(name, start, length) {
      const { dtype, shape } = tensorInfo(file, name);
      const itemBytes = DTYPE_BYTES.get(dtype) ?? 0;
      const bytes = sizeOf(shape) * itemBytes;
      if (start < 0 || length < 0 || start + length > bytes) {
        throw new CheckpointError(
          `${source.name}: tensor '${name}' has ${bytes} bytes, not ${start + length}`,
        );
      }
      const tensor = tensors.get(name);
      const storage = tensor && starts.get(tensor);
      if (!tensor || storage === undefined)
        throw new CheckpointError(`${source.name}: no '${name}'`);
      if (isContiguous(tensor)) {
        return source.read(storage + tensor.offset * itemBytes + start, length);
      }
      if (gathered?.tensor !== tensor) {
        gathered = { tensor, bytes: gather(source, storage, itemBytes, tensor) };
      }
      return (await gathered.bytes).slice(start, start + length);
    },
    close: () => source.close(),
  };
  return file;
}

async function checkByteOrder(source: ByteSource, entry: ZipEntry | undefined): Promise<void> {
  if (!entry) return;
  const order = new TextDecoder().decode(await source.read(entry.start, Math.min(entry.size, 16)));
  if (order !== 'little')
    throw new CheckpointError(`expected little-endian values, found ${order}-endian ones`);
}

/** Implementations of the few functions and classes in a pickled state_dict. */
const HOOKS = {
  call(global: PickleGlobal, args: readonly unknown[]): unknown {
    switch (global.name) {
      case 'collections.OrderedDict':
        if (args.length === 0) return new Map();
        break;
      // The default factory is ignored.
      case 'collections.defaultdict':
        return new Map();
      case 'torch.Size':
        return args[0];
      case 'torch._utils._rebuild_tensor_v2':
        return rebuildTensor(args);
      // Parameters themselves rather than their tensors, with or without attributes.
      case 'torch._utils._rebuild_parameter':
      case 'torch._utils._rebuild_parameter_with_state':
        return args[0];
      case 'torch._tensor._rebuild_from_type_v2': {
        const [rebuild, , inner] = args;
        if (rebuild instanceof PickleGlobal && Array.isArray(inner))
          return HOOKS.call(rebuild, inner);
      }
    }
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
    throw new CheckpointError('its pickle refers to an object that is not a storage');
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

/** The tensors of a state_dict, or of one inside a training's checkpoint. */
function stateDict(value: unknown): Map<string, StoredTensor> {
  if (!(value instanceof Map)) throw new CheckpointError('its pickle is not a dict of tensors');
  const tensors = findTensors(value, 0);
  if (tensors.size > 0 || value.size === 0) return tensors;
  const found = [...value.keys()].slice(0, 10).map((key) => `'${key}'`);
  throw new CheckpointError(
    `expected a dict of tensors, or one under a key such as 'state_dict' or 'model'; found the keys ` +
      found.join(', '),
  );
}

function findTensors(
  dict: ReadonlyMap<unknown, unknown>,
  depth: number,
): Map<string, StoredTensor> {
  for (const key of STATE_DICT_KEYS) {
    const inner = dict.get(key);
    const tensors =
      inner instanceof Map && depth < MAX_DEPTH ? findTensors(inner, depth + 1) : null;
    if (tensors && tensors.size > 0) return tensors;
  }
  const tensors = new Map<string, StoredTensor>();
  for (const [name, tensor] of dict) {
    if (typeof name === 'string' && tensor instanceof StoredTensor) tensors.set(name, tensor);
  }
  return tensors;
}

/** Offset of a tensor's storage in the archive, checked to contain the whole tensor. */
function storageStart(name: string, tensor: StoredTensor, entry: ZipEntry | undefined): number {
  const { storage, shape } = tensor;
  const fail = (problem: string) => new CheckpointError(`tensor '${name}': ${problem}`);
  if (!entry) throw fail(`its storage '${storage.key}' is not in the archive`);
  const itemBytes = DTYPE_BYTES.get(storage.dtype) ?? 0;
  const end = endOf(tensor);
  if (end > storage.length || end * itemBytes > entry.size) {
    throw fail(`it needs ${end} values, but its storage has ${Math.floor(entry.size / itemBytes)}`);
  }
  if (sizeOf(shape) > Math.max(storage.length, MAX_REPEATED)) {
    throw fail(
      `it expands the ${storage.length} values of its storage to ${sizeOf(shape)}; save the model again ` +
        'with .contiguous() tensors',
    );
  }
  return entry.start;
}

function isSize(value: unknown): value is number {
  return typeof value === 'number' && Number.isSafeInteger(value) && value >= 0;
}

/** Only short lists: a hostile pickle could make many tensors share a long one. */
function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.length <= MAX_RANK && value.every(isSize);
}
