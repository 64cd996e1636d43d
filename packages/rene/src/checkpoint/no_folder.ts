// A name that is neither a folder nor known to the hub: the error names both.
import { HubError } from '../errors.js';
import { NoCopyError } from './hub.js';

/**
 * The hub's error about a name that may have been meant as a path. Others are returned as they are.
 *
 * @param kind what the path would be of: 'folder'
 */
export function orNoFolder(error: unknown, id: string, kind: string): unknown {
  if (error instanceof NoCopyError) {
    const reason = error.message.replace(`${id}: `, '');
    return new HubError(`${id}: no such ${kind}, and as an id of the hub: ${reason}`, {
      cause: error.cause ?? error,
    });
  }
  if (!(error instanceof HubError) || (error.status !== 401 && error.status !== 404)) return error;
  const { message, status } = error;
  return new HubError(`${id}: no such ${kind}, and the hub says: ${message}`, {
    cause: error,
    status,
  });
}
