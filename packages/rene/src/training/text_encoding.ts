// Reads training text: UTF-8, or UTF-16 and UTF-32 with a byte order mark. Other encodings are refused by
// name.
import { constants, isUtf8 } from 'node:buffer';
import { createReadStream } from 'node:fs';
import { systemReason } from '../system_errors.js';
import { binaryFormat } from './binary_formats.js';
import { TrainingError } from './training_error.js';

/** Bytes per read; the first ones determine the file's encoding. */
const PIECE = 1 << 16;

/**
 * The text of a file in pieces, without a byte order mark. UTF-8 pieces end at line ends.
 *
 * @throws TrainingError naming the encoding or format if it is not text, and the line of an invalid byte
 */
export async function* readText(path: string): AsyncGenerator<string, void, void> {
  const bytes = readPieces(path);
  try {
    const first = await bytes.next();
    if (first.done) return;
    const head = first.value;
    const mark = marks.find(({ bytes }) => bytes.every((byte, i) => head[i] === byte));
    const fault = mark ? undefined : binaryFormat(head);
    if (fault !== undefined)
      throw new TrainingError(`${path}: expected UTF-8 text, found ${fault}`);
    const all = chain(head.subarray(mark?.bytes.length ?? 0), bytes);
    if (mark?.decode) yield* decodeMarked(path, mark.name, mark.decode, all);
    else yield* decodeUtf8(path, all);
  } finally {
    await bytes.return();
  }
}

/** The lines of a text file, without line ends. @throws TrainingError as readText does */
export async function* readLines(path: string): AsyncGenerator<string, void, void> {
  let rest = '';
  let isOneLine = true;
  for await (const text of readText(path)) {
    const lines = (rest + text).split('\n');
    rest = lines.pop() ?? '';
    isOneLine &&= lines.length === 0;
    for (const line of lines) yield line.replace(/\r$/, '');
  }
  // Some old files end lines with a carriage return.
  if (isOneLine) yield* rest.split('\r');
  else yield rest;
}

/** Whether a file starts like a Parquet file. @throws TrainingError if it cannot be read */
export async function isParquet(path: string): Promise<boolean> {
  for await (const piece of readPieces(path)) return Buffer.from(piece).indexOf('PAR1') === 0;
  return false;
}

async function* readPieces(path: string): AsyncGenerator<Uint8Array, void, void> {
  try {
    for await (const piece of createReadStream(path, { highWaterMark: PIECE })) yield piece;
  } catch (error) {
    const why = `the training text cannot be read: ${systemReason(error)}`;
    throw new TrainingError(`${path}: ${why}`, { cause: error });
  }
}

async function* chain(first: Uint8Array, rest: AsyncIterable<Uint8Array>) {
  yield first;
  yield* rest;
}

async function* decodeUtf8(path: string, bytes: AsyncIterable<Uint8Array>) {
  let lines = 0;
  let rest: Uint8Array[] = [];
  for await (const piece of bytes) {
    const end = piece.lastIndexOf(LINE_FEED) + 1;
    if (end === 0) {
      rest.push(piece);
      continue;
    }
    const whole = Buffer.concat([...rest, piece.subarray(0, end)]);
    yield utf8(path, whole, lines);
    lines += countLines(whole);
    rest = [piece.subarray(end)];
  }
  const last = Buffer.concat(rest);
  if (last.length > 0) yield utf8(path, last, lines);
}

/** @param lines number of lines before these */
function utf8(path: string, bytes: Buffer, lines: number): string {
  if (!isUtf8(bytes)) throw notUtf8(path, bytes, lines);
  if (bytes.length > constants.MAX_STRING_LENGTH) {
    throw new TrainingError(`${path}: line ${lines + 1} exceeds the maximum length of a string`);
  }
  if (bytes.includes(0)) {
    const line = lines + countLines(bytes.subarray(0, bytes.indexOf(0))) + 1;
    throw new TrainingError(
      `${path}: line ${line} contains a NUL byte: expected a text file, found a binary one`,
    );
  }
  return bytes.toString();
}

/** An error for the first line that is not UTF-8, with its likely encoding. */
function notUtf8(path: string, bytes: Buffer, lines: number): TrainingError {
  let start = 0;
  for (let line = lines + 1; ; line++) {
    const found = bytes.indexOf(LINE_FEED, start);
    const end = found < 0 ? bytes.length : found;
    const text = bytes.subarray(start, end);
    if (!isUtf8(text)) {
      const wrong = text[firstFault(text)] ?? 0;
      const byte = `byte 0x${wrong.toString(16).toUpperCase().padStart(2, '0')}`;
      return new TrainingError(
        `${path}: line ${line} is not UTF-8 (${byte}). Expected UTF-8 text; if it is Latin-1 or ` +
          `Windows-1252, convert it: iconv -f WINDOWS-1252 -t UTF-8 ${path} > utf-8.txt`,
      );
    }
    start = end + 1;
  }
}

/** Position of the first invalid UTF-8 byte. */
function firstFault(bytes: Buffer): number {
  let at = 0;
  for (const char of bytes.toString()) {
    const length = Buffer.byteLength(char);
    // Invalid bytes decode to U+FFFD, which valid text may contain too.
    if (char === '\ufffd' && bytes.toString('latin1', at, at + 3) !== '\xef\xbf\xbd') return at;
    at += length;
  }
  return at;
}

async function* decodeMarked(
  path: string,
  name: string,
  decode: (bytes: Buffer) => string | undefined,
  bytes: AsyncIterable<Uint8Array>,
) {
  const checked = (part: Buffer) => {
    const text = decode(part);
    if (text !== undefined && !/\0|\p{Surrogate}/u.test(text)) return text;
    throw new TrainingError(
      `${path}: its byte order mark says ${name}, but its bytes are not ${name}: expected UTF-8 text`,
    );
  };
  let rest = Buffer.alloc(0);
  for await (const piece of bytes) {
    const all = Buffer.concat([rest, piece]);
    const end = all.length - (all.length % 4);
    // In UTF-16 a surrogate pair may begin in the last two of them.
    const isCut = decode(all.subarray(0, end))?.match(/[\ud800-\udbff]$/) !== null;
    const whole = isCut ? end - 2 : end;
    yield checked(all.subarray(0, whole));
    rest = all.subarray(whole);
  }
  if (rest.length > 0) yield checked(rest);
}

/** Byte order marks, longer ones before their prefixes. Undefined: not supported. */
const marks: readonly {
  name: string;
  bytes: readonly number[];
  decode?: (bytes: Buffer) => string | undefined;
}[] = [
  { name: 'UTF-8', bytes: [0xef, 0xbb, 0xbf] },
  { name: 'UTF-32', bytes: [0xff, 0xfe, 0, 0], decode: (bytes) => utf32(bytes, 'readUInt32LE') },
  { name: 'UTF-32', bytes: [0, 0, 0xfe, 0xff], decode: (bytes) => utf32(bytes, 'readUInt32BE') },
  { name: 'UTF-16', bytes: [0xff, 0xfe], decode: utf16 },
  {
    name: 'UTF-16',
    bytes: [0xfe, 0xff],
    decode: (bytes) => (bytes.length % 2 === 0 ? utf16(Buffer.from(bytes).swap16()) : undefined),
  },
];

function utf16(bytes: Buffer): string | undefined {
  return bytes.length % 2 === 0 ? bytes.toString('utf16le') : undefined;
}

function utf32(bytes: Buffer, read: 'readUInt32LE' | 'readUInt32BE'): string | undefined {
  if (bytes.length % 4 !== 0) return undefined;
  const chars: string[] = [];
  for (let at = 0; at < bytes.length; at += 4) {
    const code = bytes[read](at);
    if (code > 0x10ffff || (code >= 0xd800 && code < 0xe000)) return undefined;
    chars.push(String.fromCodePoint(code));
  }
  return chars.join('');
}

const LINE_FEED = 0x0a;

function countLines(bytes: Uint8Array): number {
  let count = 0;
  for (let at = bytes.indexOf(LINE_FEED); at >= 0; at = bytes.indexOf(LINE_FEED, at + 1)) count++;
  return count;
}
