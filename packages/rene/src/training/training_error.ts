// The error of the training code.
import { ReneError } from '@rene-js/layers';

/** A training run cannot start, continue or be resumed. */
export class TrainingError extends ReneError {
  override readonly name = 'TrainingError';
}
