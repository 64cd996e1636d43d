// Standard output and error that cannot be written: a full disk, a reader that has gone.
import { fstatSync, readlinkSync, writeSync } from 'node:fs';
import { systemCode, systemReason } from '@rene-js/rene/internal/startup';

/** Ends the program when its output cannot be written: quietly when the reader has gone, else with an error. */
export function watchOutput(): void {
  writeFilesWhole();
  process.stdout.on('error', (error) => {
    // With the exit code so far: a check that failed has failed, whoever reads of it.
    if (systemCode(error) === 'EPIPE') process.exit();
    process.stderr.write(`error: ${nameOfStdout()}: cannot be written: ${systemReason(error)}\n`);
    process.exit(1);
  });
  // There is nobody left to tell.
  process.stderr.on('error', () => {});
}

/** Node takes a short write to a file, as on a disk that has just filled up, for a whole one. */
function writeFilesWhole(): void {
  // Without bigint, Node 20 keeps what it saw: after the status of a pipe it no longer follows the
  // links to packages of a workspace, and loads them twice (realpathSync in its lib/fs.js).
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
