// Writes small zip archives without compression, for tests.

interface ZipOptions {
  /** The compression method of every entry. */
  method?: number;
  /** Like files beyond 4 GB: sizes and offsets in 64 bits, an extra field in every header. */
  zip64?: boolean;
}

const UNKNOWN = 0xffffffff;

/** The bytes of an archive. */
export function zipOf(
  files: Readonly<Record<string, Uint8Array>>,
  { method = 0, zip64 = false }: ZipOptions = {},
): Uint8Array {
  const parts: Buffer[] = [];
  const directory: Buffer[] = [];
  let position = 0;
  for (const [name, bytes] of Object.entries(files)) {
    const text = Buffer.from(name);
    const padding = Buffer.alloc(zip64 ? 9 : 0, 0x5a);
    const extra = zip64 ? zip64Extra(bytes.length, position) : Buffer.alloc(0);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    local.writeUInt16LE(method, 8);
    local.writeUInt32LE(zip64 ? UNKNOWN : bytes.length, 18);
    local.writeUInt32LE(zip64 ? UNKNOWN : bytes.length, 22);
    local.writeUInt16LE(text.length, 26);
    local.writeUInt16LE(padding.length, 28);
    const central = Buffer.alloc(46);
    central.writeUInt32LE(0x02014b50, 0);
    central.writeUInt16LE(method, 10);
    central.writeUInt32LE(zip64 ? UNKNOWN : bytes.length, 20);
    central.writeUInt32LE(zip64 ? UNKNOWN : bytes.length, 24);
    central.writeUInt16LE(text.length, 28);
    central.writeUInt16LE(extra.length, 30);
    central.writeUInt32LE(zip64 ? UNKNOWN : position, 42);
    parts.push(local, text, padding, Buffer.from(bytes));
    directory.push(central, text, extra);
    position += local.length + text.length + padding.length + bytes.length;
  }
  const count = Object.keys(files).length;
  const size = Buffer.concat(directory).length;
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(zip64 ? 0xffff : count, 10);
  end.writeUInt32LE(zip64 ? UNKNOWN : size, 12);
  end.writeUInt32LE(zip64 ? UNKNOWN : position, 16);
  const long = zip64 ? zip64End(count, size, position) : Buffer.alloc(0);
  return Buffer.concat([...parts, ...directory, long, end]);
}

/** A field of another program, then both sizes and the offset of the local header. */
function zip64Extra(size: number, position: number): Buffer {
  const extra = Buffer.alloc(6 + 28);
  extra.writeUInt16LE(0x4246, 0);
  extra.writeUInt16LE(2, 2);
  extra.writeUInt16LE(1, 6);
  extra.writeUInt16LE(24, 8);
  extra.writeBigUInt64LE(BigInt(size), 10);
  extra.writeBigUInt64LE(BigInt(size), 18);
  extra.writeBigUInt64LE(BigInt(position), 26);
  return extra;
}

/** The 64-bit record of the directory, and its offset. */
function zip64End(count: number, size: number, position: number): Buffer {
  const record = Buffer.alloc(56);
  record.writeUInt32LE(0x06064b50, 0);
  record.writeBigUInt64LE(BigInt(count), 32);
  record.writeBigUInt64LE(BigInt(size), 40);
  record.writeBigUInt64LE(BigInt(position), 48);
  const locator = Buffer.alloc(20);
  locator.writeUInt32LE(0x07064b50, 0);
  locator.writeBigUInt64LE(BigInt(position + size), 8);
  return Buffer.concat([record, locator]);
}
