// What evaluation and the server throw.
import { ReneError } from '@rene-js/rene/internal';

/** An evaluation cannot be done as asked: a task, a document or a file is not what it should be. */
export class EvaluationError extends ReneError {
  override readonly name = 'EvaluationError';
}
