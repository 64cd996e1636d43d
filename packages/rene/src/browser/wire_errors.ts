// Errors across the border between a page and its worker: the class, the message and the fields stay.
import { BackendError, InvalidArgumentError, ReneError } from '@rene-js/layers/errors';
import {
  CheckpointError,
  ConfigError,
  FileError,
  GenerationError,
  HubError,
  TokenizerError,
} from '../errors.js';
import { GenerationAbortedError } from '../generation/abort.js';

/** The worker that ran a model has ended, or cannot start. */
export class WorkerError extends ReneError {
  override readonly name = 'WorkerError';
}

/** An error as data. */
export interface WireError {
  readonly name: string;
  readonly message: string;
  readonly stack: string | undefined;
  readonly argument: string;
  readonly problems: readonly string[];
  readonly status: number | undefined;
  readonly path: string;
  readonly code: string;
  readonly sequences: readonly (readonly number[])[];
  readonly cause: WireError | undefined;
}

/** How many causes of causes are sent. */
const MAXIMUM_DEPTH = 4;

export function toWire(error: unknown, depth = 0): WireError {
  const isError = error instanceof Error;
  const cause = isError && depth < MAXIMUM_DEPTH ? error.cause : undefined;
  const [argument, path] = [field(error, 'argument') ?? field(error, 'key'), field(error, 'path')];
  return {
    name: isError ? error.name : 'Error',
    message: isError ? error.message : String(error),
    stack: isError ? error.stack : undefined,
    argument: argument ?? '',
    problems: error instanceof CheckpointError ? [...error.problems] : [],
    status: error instanceof HubError ? error.status : undefined,
    path: path ?? '',
    code: field(error, 'code') ?? '',
    sequences: error instanceof GenerationAbortedError ? error.sequences : [],
    cause: cause === undefined ? undefined : toWire(cause, depth + 1),
  };
}

function field(error: unknown, name: string): string | undefined {
  const value: unknown =
    typeof error === 'object' && error !== null ? Reflect.get(error, name) : undefined;
  return typeof value === 'string' ? value : undefined;
}

/**
 * The error of the class that the worker threw.
 *
 * @param reason of the page's signal; the cause of an AbortError
 */
export function fromWire(wire: WireError, reason?: unknown): Error {
  const make = Object.hasOwn(MAKERS, wire.name) ? MAKERS[wire.name] : undefined;
  const error = make ? make(wire) : foreignError(wire);
  error.message = wire.message;
  const cause = wire.name === 'AbortError' ? reason : wire.cause && fromWire(wire.cause);
  if (cause !== undefined) {
    Object.defineProperty(error, 'cause', { value: cause, configurable: true, writable: true });
  }
  return error;
}

const MAKERS: Readonly<Record<string, (wire: WireError) => Error>> = {
  ReneError: ({ message }) => new ReneError(message),
  InvalidArgumentError: ({ argument }) => new InvalidArgumentError(argument, '', ''),
  BackendError: ({ message }) => new BackendError(message),
  ConfigError: ({ argument }) => new ConfigError(argument, '', ''),
  CheckpointError: ({ message, problems }) => new CheckpointError(message, problems),
  TokenizerError: ({ message }) => new TokenizerError(message),
  GenerationError: ({ message }) => new GenerationError(message),
  HubError: ({ message, status }) =>
    new HubError(message, status === undefined ? undefined : { status }),
  FileError: ({ message, path, code }) => new FileError(message, path, code),
  WorkerError: ({ message }) => new WorkerError(message),
  AbortError: ({ sequences }) => new GenerationAbortedError(sequences, 0, undefined),
};

/** An error of another library or the browser. It keeps the worker's stack, which shows its origin. */
function foreignError({ name, message, stack }: WireError): Error {
  const error = new Error(message);
  Object.defineProperty(error, 'name', { value: name, configurable: true });
  if (stack !== undefined) error.stack = stack;
  return error;
}
