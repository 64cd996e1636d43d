// Local paths, which may be given as file URLs.
import { fileURLToPath } from 'node:url';
import { InvalidArgumentError } from '@rene-js/layers/errors';
import { describe } from '../describe.js';
import { CheckpointError } from '../errors.js';
import { schemeOf, shownUrl } from './model_names.js';

/**
 * The path of a name or a file URL.
 *
 * @param expected the accepted values, for errors
 * @throws CheckpointError for other URLs and an empty name, InvalidArgumentError for other types
 */
export function pathOf(name: string | URL, expected: string): string {
  if (typeof name !== 'string' && !(name instanceof URL)) {
    throw new InvalidArgumentError('name', expected, describe(name));
  }
  // resolve('') would be the working directory.
  if (name === '')
    throw new CheckpointError(`expected ${expected}, found '' (no such folder, not a hub id)`);
  const text = String(name);
  const scheme = schemeOf(text);
  if (scheme === undefined && typeof name === 'string') return name;
  const found = shownUrl(text);
  try {
    if (scheme === 'file:') return fileURLToPath(text);
  } catch {
    throw new CheckpointError(`${found}: expected the URL of a local file, file:///path`);
  }
  const other = /^https?:$/.test(scheme ?? '')
    ? 'a web address, which only fromPretrained takes'
    : 'a URL of another kind';
  throw new CheckpointError(`${found}: expected ${expected}; found ${other}`);
}
