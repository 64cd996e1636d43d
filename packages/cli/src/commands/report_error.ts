// How a verb that failed ends: one line on stderr and an exit code.
import {
  FileError,
  InvalidArgumentError,
  ReneError,
  systemCode,
  systemReason,
} from '@rene-js/rene/internal/startup';
import { usageLine } from './usage_line.js';

/** The command was used in a wrong way: exit code 2. */
export class UsageError extends ReneError {
  override readonly name = 'UsageError';
}

export interface ReportOptions {
  /** The verb that failed, if one was named. */
  verb: string | undefined;
  /** Print the stack too. */
  verbose: boolean;
}

/** Prints an error and sets the exit code: 2 for wrong usage, else 1. */
export function reportError(error: unknown, { verb, verbose }: ReportOptions): void {
  const known = typed(error);
  const isUsage = known instanceof UsageError;
  process.exitCode = isUsage ? 2 : 1;
  process.stderr.write(isUsage ? usageLine(known.message, verb) : `error: ${known.message}\n`);
  if (verbose || process.env.DEBUG) process.stderr.write(`${known.stack}\n${causes(known)}`);
  else if (!(known instanceof ReneError)) {
    process.stderr.write('(this should not happen; --verbose prints where it did)\n');
  }
}

/**
 * An error about an option's value in the words of the command line.
 *
 * @param options the options' names in the library: 'topP' becomes '--top-p'
 * @param others flags of other names, by the option's name in the library
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

/** What the operating system refused is a FileError where nobody has said more. */
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
