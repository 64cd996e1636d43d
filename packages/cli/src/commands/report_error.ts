// Reports the error of a command: one line on stderr and an exit code.
import {
  FileError,
  InvalidArgumentError,
  ReneError,
  systemCode,
  systemReason,
} from '@rene-js/rene/internal/startup';
import { usageLine } from './usage_line.js';

/** Wrong usage of a command: exit code 2. */
export class UsageError extends ReneError {
  override readonly name = 'UsageError';
}

export interface ReportOptions {
  /** Name of the command that failed, if known. */
  verb: string | undefined;
  /** Print the stack trace too. */
  verbose: boolean;
}

/** Prints an error and sets the exit code: 2 for wrong usage, else 1. */
export function reportError(error: unknown, { verb, verbose }: ReportOptions): void {
  const known = typed(error);
  const isUsage = known instanceof UsageError;
  const { message } = known;
  process.exitCode = isUsage ? 2 : 1;
  process.stderr.write(isUsage ? usageLine(message, verb) : `error: ${message}\n`);
  if (verbose || process.env.DEBUG) process.stderr.write(`${known.stack}\n${causes(known)}`);
  else if (!(known instanceof ReneError)) {
    process.stderr.write('(this is a bug; --verbose prints the stack trace)\n');
  }
}

/**
 * Rewrites an error about a library option in terms of the command line.
 *
 * @param options library names of the options: 'topP' becomes '--top-p'
 * @param others flags with other names, by library name
 */
export function asUsageError(
  error: unknown,
  options: readonly string[],
  others: Readonly<Record<string, string>> = {},
): unknown {
  if (!(error instanceof InvalidArgumentError)) return error;
  const { argument, message } = error;
  if (!options.includes(argument)) return error;
  const dashed = argument.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  const flag = others[argument] ?? `--${dashed}`;
  return new UsageError(message.replace(argument, flag), { cause: error });
}

/** Converts an error of the operating system to a FileError. */
function typed(error: unknown): Error {
  const known = error instanceof Error ? error : new Error(String(error));
  const code = systemCode(known);
  if (code === undefined) return known;
  const path = 'path' in known && typeof known.path === 'string' ? known.path : '';
  const where = path === '' ? '' : `${path}: `;
  return new FileError(`${where}${systemReason(known)}`, path, code, { cause: known });
}

function causes({ cause }: Error): string {
  return cause instanceof Error ? `caused by ${cause.stack}\n${causes(cause)}` : '';
}
