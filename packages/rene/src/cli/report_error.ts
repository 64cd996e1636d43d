// How a verb that failed ends: a clear message on stderr and an exit code.
import { ReneError } from '../errors.js';

/** The command was used in a wrong way: exit code 2. */
export class UsageError extends ReneError {
  override readonly name = 'UsageError';
}

/**
 * Prints an error and sets the exit code: 2 for wrong usage, else 1. Ours and the operating system's
 * (a full disk, a folder of another user) speak for themselves.
 */
export function reportError(error: unknown, verbose: boolean): void {
  const known = error instanceof Error ? error : new Error(String(error));
  process.exitCode = known instanceof UsageError ? 2 : 1;
  process.stderr.write(`error: ${known.message}\n`);
  if (verbose || process.env.DEBUG) process.stderr.write(`${known.stack}\n${causes(known)}`);
  else if (!(known instanceof ReneError) && !('syscall' in known)) {
    process.stderr.write('(this should not happen; --verbose prints where it did)\n');
  }
}

function causes({ cause }: Error): string {
  return cause instanceof Error ? `caused by ${cause.stack}\n${causes(cause)}` : '';
}
