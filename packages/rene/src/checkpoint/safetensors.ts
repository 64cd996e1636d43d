// The safetensors format: 8 bytes of header length, a JSON header, then the tensors' bytes.
import { CheckpointError } from '../errors.js';
import { asRecord } from '../json.js';
import type { ByteSource } from './byte_source.js';
import { fileKind } from './file_kind.js';
import {
  DTYPE_BYTES,
  sizeOf,
  type TensorFile,
  type TensorInfo,
  tensorInfo,
} from './tensor_file.js';

/** The format's limit. */
const MAX_HEADER_BYTES = 100_000_000;

interface Entry extends TensorInfo {
  /** Absolute byte offsets in the file. */
  readonly begin: number;
  readonly end: number;
}

/**
 * Opens a safetensors file and checks its header: sizes, offsets, shapes, duplicate names. The source is
 * closed on failure, else with the file.
 *
 * @throws CheckpointError naming the tensor and the problem
 */
export async function openSafetensors(source: ByteSource): Promise<TensorFile> {
  try {
    const { tensors, metadata } = await readHeader(source);
    const file: TensorFile = {
      name: source.name,
      tensors,
      metadata,
      async read(name, start, length, into) {
        tensorInfo(file, name);
        const { begin = 0, end = 0 } = tensors.get(name) ?? {};
        if (start < 0 || length < 0 || begin + start + length > end) {
          throw new CheckpointError(
            `${source.name}: tensor '${name}' has ${end - begin} bytes, not ${start + length}`,
          );
        }
        return source.read(begin + start, length, into);
      },
      close: () => source.close(),
    };
    return file;
  } catch (error) {
    await source.close();
    throw error;
  }
}

async function readHeader(source: ByteSource) {
  const fail = (problem: string) => new CheckpointError(`${source.name}: ${problem}`);
  if (source.size < 8) throw fail(`not a safetensors file: it has only ${source.size} bytes`);
  const start = await source.read(0, 8);
  const headerBytes = Number(new DataView(start.buffer, start.byteOffset, 8).getBigUint64(0, true));
  if (headerBytes > Math.min(MAX_HEADER_BYTES, source.size - 8)) {
    const kind = await fileKind(source);
    if (kind !== undefined) throw fail(`expected a safetensors file, found ${kind}`);
    throw fail(
      `its header would be ${headerBytes} bytes, but the file has ${source.size}; ` +
        'it is truncated or not a safetensors file',
    );
  }
  const text = new TextDecoder().decode(await source.read(8, headerBytes));
  const header = parseHeader(text, fail);
  const metadata = new Map<string, string>();
  const tensors = new Map<string, Entry>();
  for (const [name, value] of header) {
    if (name === '__metadata__') {
      const strings = value === null ? {} : asRecord(value);
      if (strings === undefined) throw fail('its __metadata__ is not a JSON object');
      for (const [key, entry] of Object.entries(strings)) {
        if (typeof entry !== 'string') throw fail(`its metadata '${key}' is not a string`);
        metadata.set(key, entry);
      }
    } else {
      tensors.set(name, readEntry(name, value, 8 + headerBytes, fail));
    }
  }
  return { tensors: checkedLayout(tensors, 8 + headerBytes, source.size, fail), metadata };
}

type Fail = (problem: string) => CheckpointError;

function parseHeader(text: string, fail: Fail): [string, unknown][] {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch {
    throw fail('its header is not JSON; it is damaged or not a safetensors file');
  }
  const entries = asRecord(header);
  if (entries === undefined) throw fail('its header is not a JSON object');
  const duplicate = firstDuplicateKey(text);
  if (duplicate !== undefined) throw fail(`its header names '${duplicate}' twice`);
  return Object.entries(entries);
}

/**
 * Finds duplicate keys in valid JSON, which JSON.parse silently accepts. A loop, since a regular expression
 * overflows the stack on a very long string.
 */
function firstDuplicateKey(text: string): string | undefined {
  const seen = new Set<string>();
  const colon = /\s*:/y;
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const character = text[i];
    if (character === '{' || character === '[') depth++;
    else if (character === '}' || character === ']') depth--;
    else if (character === '"') {
      const start = i++;
      while (text[i] !== '"') i += text[i] === '\\' ? 2 : 1;
      colon.lastIndex = i + 1;
      if (depth !== 1 || !colon.test(text)) continue;
      const name = String(JSON.parse(text.slice(start, i + 1)));
      if (seen.has(name)) return name;
      seen.add(name);
    }
  }
  return undefined;
}

function readEntry(name: string, value: unknown, dataStart: number, fail: Fail): Entry {
  const { dtype, shape, data_offsets: offsets } = asRecord(value) ?? {};
  if (typeof dtype !== 'string') throw fail(`tensor '${name}' has no dtype`);
  if (!isSizes(shape)) throw fail(`tensor '${name}' has no valid shape`);
  if (!isSizes(offsets)) throw fail(`tensor '${name}' has no valid data_offsets`);
  const [begin = 0, end = -1] = offsets;
  if (offsets.length !== 2 || begin > end) {
    throw fail(`tensor '${name}' has data_offsets [${offsets.join(', ')}], expected [begin, end]`);
  }
  const elementBytes = DTYPE_BYTES.get(dtype);
  const bytes = sizeOf(shape) * (elementBytes ?? 0);
  if (elementBytes !== undefined && bytes !== end - begin) {
    throw fail(
      `tensor '${name}': ${dtype} of shape [${shape.join(', ')}] has ${bytes} bytes, but ` +
        `its data_offsets span ${end - begin}`,
    );
  }
  return { dtype, shape, begin: dataStart + begin, end: dataStart + end };
}

/** The tensors in the order of their bytes, which must cover the rest of the file without overlaps and gaps. */
function checkedLayout(
  tensors: ReadonlyMap<string, Entry>,
  dataStart: number,
  fileSize: number,
  fail: Fail,
): Map<string, Entry> {
  const byOffset = [...tensors].sort(([, a], [, b]) => a.begin - b.begin || a.end - b.end);
  let position = dataStart;
  for (const [name, { begin, end }] of byOffset) {
    if (end > fileSize) {
      throw fail(
        `tensor '${name}' ends at byte ${end}, but the file has ${fileSize}; it is truncated`,
      );
    }
    if (begin < position) throw fail(`tensor '${name}' overlaps the tensor before it`);
    if (begin > position)
      throw fail(`${begin - position} bytes before tensor '${name}' belong to no tensor`);
    position = end;
  }
  if (position < fileSize) throw fail(`its last ${fileSize - position} bytes belong to no tensor`);
  return new Map(byOffset);
}

function isSizes(value: unknown): value is number[] {
  return Array.isArray(value) && value.every((size) => Number.isSafeInteger(size) && size >= 0);
}

/** A tensor to write. Its bytes are produced on demand, so that few are in memory. */
export interface TensorToWrite extends TensorInfo {
  readonly name: string;
  /** All bytes, or pieces in order. */
  bytes(): Promise<Uint8Array> | Uint8Array | AsyncIterable<Uint8Array>;
}

/**
 * Produces the bytes of a safetensors file in order: header, then tensors. They keep their order, so that a page can
 * pack a matrix before its scales and those of all others have arrived, unless that would leave one unaligned. Then
 * larger dtypes come first, as in Python's writer.
 */
export async function writeSafetensors(
  tensors: readonly TensorToWrite[],
  metadata: Readonly<Record<string, string>>,
  put: (bytes: Uint8Array) => Promise<void>,
): Promise<void> {
  const largest = Math.max(...tensors.map(({ dtype }) => bytesOf(dtype)));
  const isAligned = tensors.every(
    ({ dtype, shape }) => (sizeOf(shape) * bytesOf(dtype)) % largest === 0,
  );
  const ordered = isAligned
    ? tensors
    : [...tensors].sort((a, b) => bytesOf(b.dtype) - bytesOf(a.dtype));
  const header: Record<string, unknown> = { __metadata__: metadata };
  let position = 0;
  for (const { name, dtype, shape } of ordered) {
    const end = position + sizeOf(shape) * bytesOf(dtype);
    header[name] = { dtype, shape, data_offsets: [position, end] };
    position = end;
  }
  const text = new TextEncoder().encode(JSON.stringify(header));
  const start = new Uint8Array(8 + Math.ceil(text.length / 8) * 8).fill(0x20);
  new DataView(start.buffer).setBigUint64(0, BigInt(start.length - 8), true);
  start.set(text, 8);
  await put(start);
  for (const tensor of ordered) {
    const expected = sizeOf(tensor.shape) * bytesOf(tensor.dtype);
    const given = tensor.bytes();
    const pieces = Symbol.asyncIterator in given ? given : [await given];
    let written = 0;
    for await (const piece of pieces) {
      written += piece.byteLength;
      if (written <= expected) await put(piece);
    }
    if (written !== expected) {
      throw new CheckpointError(
        `tensor '${tensor.name}': expected ${expected} bytes to write, found ${written}`,
      );
    }
  }
}

function bytesOf(dtype: string): number {
  const bytes = DTYPE_BYTES.get(dtype);
  if (bytes === undefined) throw new CheckpointError(`dtype ${dtype} cannot be written`);
  return bytes;
}
