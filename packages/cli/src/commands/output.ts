// Handles standard output and error that cannot be written: a full disk, or a closed pipe.
import { fstatSync, readlinkSync, writeSync } from 'node:fs';
import { systemCode, systemReason } from '@rene-js/rene/internal/startup';

/**
 * Ends the program when its output cannot be written. Silent if the reader closed the pipe, else prints an
 * error.
 */
export function watchOutput(): void {
  writeFilesWhole();
  process.stdout.on('error', (error) => {
    // Keeps the exit code, so that a failed check still fails.
    if (systemCode(error) === 'EPIPE') process.exit();
    process.stderr.write(`error: ${nameOfStdout()}: cannot be written: ${systemReason(error)}\n`);
    process.exit(1);
  });
  // Nothing can be printed now.
  process.stderr.on('error', () => {});
}

/** Node treats a short write to a file (as on a full disk) as a complete one. */
function writeFilesWhole(): void {
  // bigint is necessary: in Node 20, fstatSync of a pipe without it stops the resolution of links to
  // workspace packages, which are then loaded twice (realpathSync in its lib/fs.js).
  if (!fstatSync(1, { bigint: true }).isFile()) return;
  process.stdout._write = (chunk: string | Uint8Array, encoding, done) => {
    const bytes = typeof chunk === 'string' ? Buffer.from(chunk, encoding) : chunk;
    try {
      for (let at = 0; at < bytes.length; ) at += writeSync(1, bytes, at);
      done();
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)));
    }
  };
}

function nameOfStdout(): string {
  try {
    return `stdout (${readlinkSync('/proc/self/fd/1')})`;
  } catch {
    return 'stdout'; // There is no /proc, or stdout is closed.
  }
}
