// Reads the directory of a zip archive with uncompressed files, as PyTorch writes them.
import { CheckpointError } from '../errors.js';
import type { ByteSource } from './byte_source.js';

/** Offset and size of a stored file in the archive. */
export interface ZipEntry {
  readonly start: number;
  readonly size: number;
}

const END = 0x06054b50;
const END64 = 0x06064b50;
const END64_LOCATOR = 0x07064b50;
const CENTRAL = 0x02014b50;
const LOCAL = 0x04034b50;
/** Maximum size of the end record with its comment. */
const END_BYTES = 22;
const MAX_TAIL = END_BYTES + 65535;
const MAX_DIRECTORY_BYTES = 64 << 20;

/** Whether the bytes start like a zip archive. */
export async function isZip(source: ByteSource): Promise<boolean> {
  if (source.size < END_BYTES) return false;
  return view(await source.read(0, 4)).getUint32(0, true) === LOCAL;
}

/**
 * The files of an archive by name. Supports Zip64, but no compression or encryption.
 *
 * @throws CheckpointError if the archive is damaged or uses unsupported features
 */
export async function readZip(source: ByteSource): Promise<Map<string, ZipEntry>> {
  const directory = await findDirectory(source);
  const bytes = await source.read(directory.start, directory.size);
  const data = view(bytes);
  const entries = new Map<string, ZipEntry>();
  let position = 0;
  for (let i = 0; i < directory.count; i++) {
    if (position + 46 > bytes.length || data.getUint32(position, true) !== CENTRAL) {
      throw damaged(source, `entry ${i} of its directory is not there`);
    }
    const nameLength = data.getUint16(position + 28, true);
    const extraLength = data.getUint16(position + 30, true);
    const next = position + 46 + nameLength + extraLength + data.getUint16(position + 32, true);
    if (next > bytes.length) throw damaged(source, `entry ${i} of its directory is cut`);
    const nameStart = position + 46;
    const name = new TextDecoder().decode(bytes.subarray(nameStart, nameStart + nameLength));
    const extra = bytes.subarray(nameStart + nameLength, nameStart + nameLength + extraLength);
    const { size, local } = sizeAndOffset(data, position, extra);
    if (data.getUint16(position + 10, true) !== 0 || data.getUint16(position + 8, true) & 1) {
      throw new CheckpointError(`${source.name}: '${name}' is compressed or encrypted in it`);
    }
    if (entries.has(name)) throw damaged(source, `it holds '${name}' twice`);
    entries.set(name, { start: await dataStart(source, name, local, size), size });
    position = next;
  }
  return entries;
}

async function findDirectory(source: ByteSource) {
  const tailStart = Math.max(0, source.size - MAX_TAIL);
  const tail = view(await source.read(tailStart, source.size - tailStart));
  let end = tail.byteLength - END_BYTES;
  while (end >= 0 && tail.getUint32(end, true) !== END) end--;
  if (end < 0) throw damaged(source, 'its end is missing; it is truncated or no zip archive');
  let count = tail.getUint16(end + 10, true);
  let size = tail.getUint32(end + 12, true);
  let start = tail.getUint32(end + 16, true);
  if (end >= 20 && tail.getUint32(end - 20, true) === END64_LOCATOR) {
    const record = view(await source.read(Number(tail.getBigUint64(end - 12, true)), 56));
    if (record.getUint32(0, true) !== END64) throw damaged(source, 'its zip64 record is missing');
    count = Number(record.getBigUint64(32, true));
    size = Number(record.getBigUint64(40, true));
    start = Number(record.getBigUint64(48, true));
  }
  if (size > MAX_DIRECTORY_BYTES) throw damaged(source, `its directory would have ${size} bytes`);
  return { count, size, start };
}

/** Size and offset of an entry, from the zip64 extra field if they do not fit in 32 bits. */
function sizeAndOffset(data: DataView, position: number, extra: Uint8Array) {
  let size = data.getUint32(position + 24, true);
  let local = data.getUint32(position + 42, true);
  const fields = view(extra);
  for (let at = 0; at + 4 <= extra.length; at += 4 + fields.getUint16(at + 2, true)) {
    if (fields.getUint16(at, true) !== 1) continue;
    const end = Math.min(extra.length, at + 4 + fields.getUint16(at + 2, true));
    let field = at + 4;
    const next = (): number | undefined => {
      field += 8;
      return field <= end ? Number(fields.getBigUint64(field - 8, true)) : undefined;
    };
    // In this order, and only those that are marked as too large for 32 bits.
    if (size === 0xffffffff) size = next() ?? size;
    if (data.getUint32(position + 20, true) === 0xffffffff) next();
    if (local === 0xffffffff) local = next() ?? local;
  }
  return { size, local };
}

/** The local header repeats the name and has an extra field of its own length. */
async function dataStart(source: ByteSource, name: string, local: number, size: number) {
  const header = view(await source.read(local, 30));
  if (header.getUint32(0, true) !== LOCAL) throw damaged(source, `'${name}' is not where it says`);
  const start = local + 30 + header.getUint16(26, true) + header.getUint16(28, true);
  if (start + size > source.size) throw damaged(source, `'${name}' is cut; it is truncated`);
  return start;
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
}

function damaged(source: ByteSource, problem: string): CheckpointError {
  return new CheckpointError(`${source.name}: damaged archive: ${problem}`);
}
