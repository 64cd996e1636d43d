// Identifies files that are not UTF-8 text by their first bytes.

/** The name of a format that is mistaken for text, with advice; undefined for possible text. */
export function binaryFormat(head: Uint8Array): string | undefined {
  // One character per byte.
  const text = Buffer.from(head).toString('latin1');
  const known = formats.find(({ begin }) => text.startsWith(begin));
  if (known) return `${known.name}; ${known.advice}`;
  const escaped = escapes.find(({ sequence }) => text.includes(sequence));
  if (escaped) return `${escaped.name}; convert it: iconv -f ${escaped.name} -t UTF-8`;
  if (head.includes(0)) {
    const name = unmarkedUtf16(head);
    if (name === undefined) return 'a binary file (it holds NUL bytes)';
    return `what looks like ${name} without a byte order mark; convert it: iconv -f ${name} -t UTF-8`;
  }
  const controls = head.reduce((count, byte) => (isControl(byte) ? count + 1 : count), 0);
  return controls > head.length / 20 ? 'a binary file (it holds control characters)' : undefined;
}

/** Whether a byte is rare in text: control characters other than 7 to 13 (bell to line end) and escape. */
function isControl(byte: number): boolean {
  return byte < 0x20 && !(byte >= 7 && byte <= 13) && byte !== 0x1b;
}

/** Latin text in UTF-16 has a NUL in nearly every second byte, and rarely one in the others. */
function unmarkedUtf16(head: Uint8Array): string | undefined {
  let even = 0;
  let odd = 0;
  head.forEach((byte, i) => {
    if (byte !== 0) return;
    if (i % 2 === 0) even++;
    else odd++;
  });
  if (Math.max(even, odd) < head.length / 20) return undefined;
  if (odd > 8 * even) return 'UTF-16LE';
  return even > 8 * odd ? 'UTF-16BE' : undefined;
}

const escapes = [
  { name: 'ISO-2022-JP', sequence: '\x1b$B' },
  { name: 'ISO-2022-JP', sequence: '\x1b$@' },
  { name: 'ISO-2022-KR', sequence: '\x1b$)C' },
  { name: 'ISO-2022-CN', sequence: '\x1b$)A' },
];

const UNPACK = 'unpack it first';
const EXTRACT = 'extract its text first';
const EXPORT = 'export it as JSON lines with a "text" field';

const formats = [
  { name: 'a gzip file', begin: '\x1f\x8b', advice: UNPACK },
  { name: 'a zip file (.zip, .docx, .xlsx, .epub, .pt)', begin: 'PK\x03\x04', advice: EXTRACT },
  { name: 'a bzip2 file', begin: 'BZh91AY&SY', advice: UNPACK },
  { name: 'an xz file', begin: '\xfd7zXZ\0', advice: UNPACK },
  { name: 'a Zstandard file', begin: '\x28\xb5\x2f\xfd', advice: UNPACK },
  { name: 'an LZ4 file', begin: '\x04\x22\x4d\x18', advice: UNPACK },
  { name: 'a 7-Zip file', begin: '7z\xbc\xaf\x27\x1c', advice: UNPACK },
  { name: 'a RAR file', begin: 'Rar!\x1a\x07', advice: UNPACK },
  { name: 'a PDF file', begin: '%PDF-', advice: EXTRACT },
  { name: 'an RTF file', begin: '{\\rtf', advice: EXTRACT },
  { name: 'a Microsoft Office file', begin: '\xd0\xcf\x11\xe0', advice: EXTRACT },
  { name: 'a Parquet file', begin: 'PAR1', advice: 'read it as one (format: parquet)' },
  { name: 'an Arrow file', begin: 'ARROW1', advice: EXPORT },
  { name: 'an Avro file', begin: 'Obj\x01', advice: EXPORT },
  { name: 'an SQLite database', begin: 'SQLite format 3\0', advice: EXPORT },
  { name: 'an HDF5 file', begin: '\x89HDF', advice: EXPORT },
  { name: 'a NumPy file', begin: '\x93NUMPY', advice: EXPORT },
  { name: 'a PNG image', begin: '\x89PNG', advice: EXTRACT },
  { name: 'a JPEG image', begin: '\xff\xd8\xff', advice: EXTRACT },
  { name: 'a GIF image', begin: 'GIF8', advice: EXTRACT },
  { name: 'a program', begin: '\x7fELF', advice: 'name a text file' },
];
