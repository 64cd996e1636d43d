import { ReneError } from '@rene-js/rene/internal';

/** A batch cannot be run: its files or the model do not allow it. */
export class BatchError extends ReneError {
  override readonly name = 'BatchError';
}
