// The lines of a file, with their byte offsets.
import { createReadStream } from 'node:fs';
import { fileError } from '@rene-js/rene/internal';

export interface FileLine {
  /** Without the line end and, in the first line, without a byte order mark. */
  text: string;
  /** From 1. */
  number: number;
  /** Offset of its first byte. */
  start: number;
  /** Whether a line feed ends it. */
  isWhole: boolean;
}

/**
 * The lines of a UTF-8 file that are not empty. Only a line feed, with or without a carriage return, ends a
 * line: JSON strings may contain other separators, at which node:readline splits too.
 *
 * @throws FileError
 */
export async function* fileLines(path: string): AsyncGenerator<FileLine, void, void> {
  let number = 1;
  let start = 0;
  let rest: Buffer[] = [];
  const line = (bytes: Buffer, isWhole: boolean): FileLine => {
    const text = bytes.toString('utf8').replace(/\r$/, '');
    return { text: number === 1 ? text.replace(/^\uFEFF/, '') : text, number, start, isWhole };
  };
  for await (const piece of pieces(path)) {
    let at = 0;
    for (let end = piece.indexOf(LINE_FEED); end >= 0; end = piece.indexOf(LINE_FEED, at)) {
      const bytes = Buffer.concat([...rest, piece.subarray(at, end)]);
      const next = line(bytes, true);
      if (next.text.trim() !== '') yield next;
      rest = [];
      at = end + 1;
      number++;
      start += bytes.length + 1;
    }
    rest.push(piece.subarray(at));
  }
  const last = line(Buffer.concat(rest), false);
  if (last.text.trim() !== '') yield last;
}

async function* pieces(path: string): AsyncGenerator<Buffer, void, void> {
  try {
    for await (const piece of createReadStream(path)) yield piece;
  } catch (error) {
    throw fileError(path, 'read', error);
  }
}

const LINE_FEED = 0x0a;
