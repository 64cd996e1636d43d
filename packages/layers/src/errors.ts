// Error classes. Messages name the argument, what was expected and what was found.

/** Base class of all errors that this project throws deliberately. */
export class ReneError extends Error {
  override readonly name: string = 'ReneError';
}

/** An argument has a wrong value, shape or dtype. */
export class InvalidArgumentError extends ReneError {
  override readonly name = 'InvalidArgumentError';
  /** The argument, as the caller named it. */
  readonly argument: string;

  constructor(argument: string, expected: string, found: string) {
    super(`${argument}: expected ${expected}, found ${found}`);
    this.argument = argument;
  }
}

/** A backend is missing, does not start, or does not support what was requested. */
export class BackendError extends ReneError {
  override readonly name = 'BackendError';
}
