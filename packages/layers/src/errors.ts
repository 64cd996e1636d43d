// The errors of the project. Each says which argument is wrong, what was expected, what was found.

/** Base of every error that the project throws on purpose. */
export class ReneError extends Error {
  override readonly name: string = 'ReneError';
}

/** An argument has a wrong value, shape or dtype. */
export class InvalidArgumentError extends ReneError {
  override readonly name = 'InvalidArgumentError';
  /** The argument, written as the caller wrote it. */
  readonly argument: string;

  constructor(argument: string, expected: string, found: string) {
    super(`${argument}: expected ${expected}, found ${found}`);
    this.argument = argument;
  }
}

/** A backend is missing, cannot start, or lacks what was asked of it. */
export class BackendError extends ReneError {
  override readonly name = 'BackendError';
}
