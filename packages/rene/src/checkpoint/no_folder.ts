// Errors for a model name that is not a folder: a file, or a name that the hub does not know either.
import { CheckpointError, HubError } from '../errors.js';
import { NoCopyError } from './hub.js';
import { EMBEDDED_MODEL, isNearly } from './model_names.js';
import { fileExists } from './node_files.js';

/** @throws CheckpointError if a path is a file */
export async function refuseFile(path: string, what: string): Promise<void> {
  if (!(await fileExists(path))) return;
  throw new CheckpointError(`${path}: expected the folder of ${what}, found a file`);
}

/**
 * The hub's error for a name that may be a path. Other errors are returned unchanged.
 *
 * @param kind what the path should be: 'folder'
 */
export function orNoFolder(error: unknown, id: string, kind: string): unknown {
  const hint = isNearly(id, EMBEDDED_MODEL) ? ` (did you mean '${EMBEDDED_MODEL}'?)` : '';
  if (error instanceof NoCopyError) {
    const reason = error.message.replace(`${id}: `, '');
    return new HubError(`${id}: no such ${kind}${hint}, and as an id of the hub: ${reason}`, {
      cause: error.cause ?? error,
    });
  }
  if (!(error instanceof HubError) || (error.status !== 401 && error.status !== 404)) return error;
  const { message, status } = error;
  return new HubError(`${id}: no such ${kind}${hint}, and the hub says: ${message}`, {
    cause: error,
    status,
  });
}
