// Error classes of evaluation and the server.
import { ReneError } from '@rene-js/rene/internal';

/** An evaluation cannot be done as requested: a task, a document or a file is invalid. */
export class EvaluationError extends ReneError {
  override readonly name = 'EvaluationError';
}
