// Errors of the file system as typed errors that name the file.
import { FileError } from './errors.js';
import { systemCode, systemReason } from './system_errors.js';

/**
 * Makes a FileError that names the file from an error of the operating system. Returns other errors
 * unchanged.
 *
 * @param path the file as the user knows it, not a temporary name
 * @param action completes "cannot be ..."
 */
export function fileError(
  path: string,
  action: 'read' | 'written' | 'removed',
  error: unknown,
): unknown {
  const code = systemCode(error);
  if (code === undefined) return error;
  return new FileError(`${path}: cannot be ${action}: ${systemReason(error)}`, path, code, {
    cause: error,
  });
}
