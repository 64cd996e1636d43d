// Writes GGUF files with random weights.
import { open, rename } from 'node:fs/promises';

/** Formats of the matrices. Bits per weight: 16, 8.5, 4.5. */
export type GgufType = 'BF16' | 'Q8_0' | 'Q4_0';

const F32 = 0;
/** Ids of ggml's types and of llama.cpp's file types; bytes per 32 weights. */
const TYPES: Readonly<Record<GgufType, { id: number; fileType: number; blockBytes: number }>> = {
  BF16: { id: 30, fileType: 32, blockBytes: 64 },
  Q8_0: { id: 8, fileType: 7, blockBytes: 34 },
  Q4_0: { id: 2, fileType: 2, blockBytes: 18 },
};

/** Alignment of tensors. */
const ALIGNMENT = 32;
/** Number of random values. The matrices repeat them. */
const DRAWN = 1 << 20;

export interface GgufTensor {
  readonly name: string;
  /** The fastest axis first, as in ggml. */
  readonly dims: readonly number[];
  /** f32 values; undefined for a matrix of random weights. */
  readonly values?: Float32Array;
}

/** Writes one key and its value. */
export type GgufMetadata = (to: GgufWriter) => void;

/** The content of a file. */
export interface GgufModel {
  readonly metadata: readonly GgufMetadata[];
  readonly tensors: readonly GgufTensor[];
}

/** Writes the file under a temporary name, then renames it. */
export async function writeRandomGguf(
  path: string,
  { metadata: own, tensors }: GgufModel,
  type: GgufType,
): Promise<void> {
  const { id, fileType, blockBytes } = TYPES[type];
  const matrixBytes = ({ dims }: GgufTensor) => (product(dims) / 32) * blockBytes;
  const bytesOf = (tensor: GgufTensor) => tensor.values?.byteLength ?? matrixBytes(tensor);
  const header = new GgufWriter();
  header.bytes(new TextEncoder().encode('GGUF'));
  header.u32(3);
  header.u64(tensors.length);
  const metadata = [
    ...own,
    metadatum.count('general.file_type', fileType),
    metadatum.count('general.quantization_version', 2),
  ];
  header.u64(metadata.length);
  for (const write of metadata) write(header);
  let offset = 0;
  for (const tensor of tensors) {
    header.string(tensor.name);
    header.u32(tensor.dims.length);
    for (const dim of tensor.dims) header.u64(dim);
    header.u32(tensor.values ? F32 : id);
    header.u64(offset);
    offset += aligned(bytesOf(tensor));
  }

  const noise = encode(gaussians(DRAWN, 0.02), type);
  const file = await open(`${path}.tmp`, 'w');
  try {
    await file.write(padded(header.done()));
    for (const tensor of tensors) {
      const { values } = tensor;
      if (values) await file.write(padded(new Uint8Array(values.buffer)));
      else {
        for (let left = matrixBytes(tensor); left > 0; left -= noise.length) {
          const piece = noise.subarray(0, Math.min(left, noise.length));
          await file.write(left > noise.length ? piece : padded(piece));
        }
      }
    }
  } finally {
    await file.close();
  }
  await rename(`${path}.tmp`, path);
}

/** A matrix of random weights. */
export function ggufMatrix(name: string, columns: number, rows: number): GgufTensor {
  return { name, dims: [columns, rows] };
}

export function ggufVector(
  name: string,
  dims: readonly number[],
  at: (i: number) => number,
): GgufTensor {
  return { name, dims, values: Float32Array.from({ length: product(dims) }, (_, i) => at(i)) };
}

/** Keys with values of several types. */
export const metadatum = {
  text:
    (key: string, value: string): GgufMetadata =>
    (to) =>
      to.keyString(key, value),
  count:
    (key: string, value: number): GgufMetadata =>
    (to) =>
      to.keyU32(key, value),
  counts:
    (key: string, values: readonly number[]): GgufMetadata =>
    (to) =>
      to.keyInts(key, values),
  real:
    (key: string, value: number): GgufMetadata =>
    (to) =>
      to.keyF32(key, value),
  flag:
    (key: string, value: boolean): GgufMetadata =>
    (to) =>
      to.keyBool(key, value),
};

const NORMAL = 1;
const CONTROL = 3;

/** An unused vocabulary, which llama.cpp requires: bytes, one merge, names. */
export function unusedTokenizer(vocabulary: number): GgufMetadata[] {
  const bytes = byteCharacters();
  const tokens = [...bytes, 'th'];
  while (tokens.length < vocabulary - 1) tokens.push(`<${tokens.length}>`);
  tokens.push('<|endoftext|>');
  const kinds = tokens.map((_, i) => (i === vocabulary - 1 ? CONTROL : NORMAL));
  return [
    (to) => to.keyString('tokenizer.ggml.model', 'gpt2'),
    (to) => to.keyString('tokenizer.ggml.pre', 'gpt-2'),
    (to) => to.keyStrings('tokenizer.ggml.tokens', tokens),
    (to) => to.keyInts('tokenizer.ggml.token_type', kinds),
    (to) => to.keyStrings('tokenizer.ggml.merges', ['t h']),
    (to) => to.keyU32('tokenizer.ggml.bos_token_id', vocabulary - 1),
    (to) => to.keyU32('tokenizer.ggml.eos_token_id', vocabulary - 1),
  ];
}

/** The characters of byte-level BPE: printable bytes as themselves, others from 256. */
function byteCharacters(): string[] {
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => {
    const printable = (byte > 32 && byte < 127) || (byte > 160 && byte !== 173);
    return String.fromCodePoint(printable ? byte : next++);
  });
}

/** Normally distributed values, the same at every call. */
function gaussians(count: number, deviation: number): Float32Array {
  let seed = 1;
  const uniform = () => {
    seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
    return (seed + 0.5) / 2 ** 32;
  };
  return Float32Array.from(
    { length: count },
    () => deviation * Math.sqrt(-2 * Math.log(uniform())) * Math.cos(2 * Math.PI * uniform()),
  );
}

/** Blocks of 32 weights as ggml stores them. */
function encode(values: Float32Array, type: GgufType): Uint8Array {
  const { blockBytes } = TYPES[type];
  const bytes = new Uint8Array((values.length / 32) * blockBytes);
  const view = new DataView(bytes.buffer);
  for (let block = 0; block * 32 < values.length; block++) {
    const x = values.subarray(block * 32, block * 32 + 32);
    const at = block * blockBytes;
    if (type === 'BF16') {
      for (const [i, value] of x.entries()) view.setUint16(at + 2 * i, f32Bits(value) >>> 16, true);
      continue;
    }
    // A scale, then quantised values of 8 bits, or of 4 bits from 0 to 15 around 8: i in the low half, i + 16
    // in the high half.
    const largest = x.reduce((a, b) => (Math.abs(b) > Math.abs(a) ? b : a), 0);
    const scale = type === 'Q8_0' ? Math.abs(largest) / 127 : largest / -8;
    view.setUint16(at, f16Bits(scale), true);
    if (type === 'Q8_0') {
      for (const [i, value] of x.entries()) view.setInt8(at + 2 + i, Math.round(value / scale));
      continue;
    }
    const code = (value: number) => Math.min(15, Math.max(0, Math.round(value / scale) + 8));
    for (let i = 0; i < 16; i++) {
      view.setUint8(at + 2 + i, code(x[i] ?? 0) | (code(x[i + 16] ?? 0) << 4));
    }
  }
  return bytes;
}

function f32Bits(value: number): number {
  return new Uint32Array(Float32Array.of(value).buffer)[0] ?? 0;
}

/** A scale of about 0.0001 to 0.1 as half precision, truncated. */
function f16Bits(value: number): number {
  const bits = f32Bits(value);
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  return sign | Math.max(0, (magnitude - (112 << 23)) >>> 13);
}

function product(dims: readonly number[]): number {
  return dims.reduce((size, dim) => size * dim, 1);
}

function aligned(bytes: number): number {
  return Math.ceil(bytes / ALIGNMENT) * ALIGNMENT;
}

function padded(bytes: Uint8Array): Uint8Array {
  if (bytes.length % ALIGNMENT === 0) return bytes;
  const whole = new Uint8Array(aligned(bytes.length));
  whole.set(bytes);
  return whole;
}

/** Numbers, strings and key-value pairs, little-endian. */
class GgufWriter {
  private readonly parts: Uint8Array[] = [];

  done(): Uint8Array {
    return new Uint8Array(Buffer.concat(this.parts));
  }

  bytes(bytes: Uint8Array): void {
    this.parts.push(bytes);
  }

  u32(value: number): void {
    this.bytes(new Uint8Array(Uint32Array.of(value).buffer));
  }

  u64(value: number): void {
    this.bytes(new Uint8Array(BigUint64Array.of(BigInt(value)).buffer));
  }

  string(text: string): void {
    const bytes = new TextEncoder().encode(text);
    this.u64(bytes.length);
    this.bytes(bytes);
  }

  // The numbers after the keys are GGUF's value types.
  keyU32(key: string, value: number): void {
    this.string(key);
    this.u32(4);
    this.u32(value);
  }

  keyF32(key: string, value: number): void {
    this.string(key);
    this.u32(6);
    this.u32(f32Bits(value));
  }

  keyBool(key: string, value: boolean): void {
    this.string(key);
    this.u32(7);
    this.bytes(Uint8Array.of(value ? 1 : 0));
  }

  keyString(key: string, value: string): void {
    this.string(key);
    this.u32(8);
    this.string(value);
  }

  keyInts(key: string, values: readonly number[]): void {
    this.array(key, 5, values.length);
    this.bytes(new Uint8Array(Int32Array.from(values).buffer));
  }

  keyStrings(key: string, values: readonly string[]): void {
    this.array(key, 8, values.length);
    for (const value of values) this.string(value);
  }

  private array(key: string, type: number, length: number): void {
    this.string(key);
    this.u32(9);
    this.u32(type);
    this.u64(length);
  }
}
