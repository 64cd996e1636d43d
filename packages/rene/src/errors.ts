// Error classes of this package. Messages name the problem, what was expected and what to do.
import { ReneError } from '@rene-js/layers/errors';

export { ReneError };

/** A value of a model configuration is missing, of the wrong type, or contradicts another. */
export class ConfigError extends ReneError {
  override readonly name = 'ConfigError';
  /** The key as given: `ssm_cfg.headdim` in config.json, `ssm.headDim` in reneConfig(). */
  readonly key: string;

  constructor(key: string, expected: string, found: string, where?: string) {
    super(`${where ? `${where}: ` : ''}${key}: expected ${expected}, found ${found}`);
    this.key = key;
  }
}

/** A checkpoint file is missing, damaged or does not fit the model. */
export class CheckpointError extends ReneError {
  override readonly name = 'CheckpointError';
  /** All problems, one per line. */
  readonly problems: readonly string[];

  constructor(message: string, problems: readonly string[] = [message], options?: ErrorOptions) {
    super(message, options);
    this.problems = problems;
  }
}

/** A tokenizer file is missing or damaged, or does not fit the model. */
export class TokenizerError extends ReneError {
  override readonly name = 'TokenizerError';
}

/** A generation cannot be done as requested. */
export class GenerationError extends ReneError {
  override readonly name = 'GenerationError';
}

/** A download from a model hub failed. */
export class HubError extends ReneError {
  override readonly name = 'HubError';
  /** HTTP status of the last response, if any. */
  readonly status: number | undefined;

  constructor(message: string, options?: ErrorOptions & { status?: number }) {
    super(message, options);
    this.status = options?.status;
  }
}

/** A file or folder cannot be read or written: full disk, missing permission, ... */
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
