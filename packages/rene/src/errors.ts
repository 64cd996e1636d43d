// The errors of the model package. Each says what is wrong, what was expected, and what to do.
import { ReneError } from '@rene-js/layers/errors';

export { ReneError };

/** A value of a model configuration is missing, of the wrong type, or contradicts another. */
export class ConfigError extends ReneError {
  override readonly name = 'ConfigError';
  /** The key as it was given: `ssm_cfg.headdim` in config.json, `ssm.headDim` in reneConfig(). */
  readonly key: string;

  constructor(key: string, expected: string, found: string, where?: string) {
    super(`${where ? `${where}: ` : ''}${key}: expected ${expected}, found ${found}`);
    this.key = key;
  }
}

/** A checkpoint file is missing, damaged, or does not fit the model. */
export class CheckpointError extends ReneError {
  override readonly name = 'CheckpointError';
  /** Everything that is wrong, a line each; one line where there is a single fault. */
  readonly problems: readonly string[];

  constructor(message: string, problems: readonly string[] = [message], options?: ErrorOptions) {
    super(message, options);
    this.problems = problems;
  }
}

/** A tokenizer file is missing or damaged, or cannot be used with the model. */
export class TokenizerError extends ReneError {
  override readonly name = 'TokenizerError';
}

/** A generation was asked for something that cannot be done. */
export class GenerationError extends ReneError {
  override readonly name = 'GenerationError';
}

/** A download from a model hub failed. */
export class HubError extends ReneError {
  override readonly name = 'HubError';
  /** The HTTP status of the last answer, if there was one. */
  readonly status: number | undefined;

  constructor(message: string, options?: ErrorOptions & { status?: number }) {
    super(message, options);
    this.status = options?.status;
  }
}

/** A file or folder cannot be read or written: the disk is full, it is another user's, ... */
export class FileError extends ReneError {
  override readonly name = 'FileError';

  /**
   * @param path the file or folder
   * @param code of the operating system, such as 'ENOSPC'
   */
  constructor(
    message: string,
    readonly path: string,
    readonly code: string,
    options?: ErrorOptions,
  ) {
    super(message, options);
  }
}
