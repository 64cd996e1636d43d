// Optional packages in Node, found where they are installed.
import { createRequire } from 'node:module';
import { BackendError } from '../errors.js';

/** Search path of packages: beside this file, then in the program's folder. */
export const packagePlaces = (): readonly string[] => [import.meta.url, `${process.cwd()}/`];

/** The file of an installed package. @param places files or folders from which to resolve it */
export function packageEntry(name: string, places: readonly string[]): string | undefined {
  for (const place of places) {
    try {
      return createRequire(place).resolve(name);
    } catch {
      // Not installed there.
    }
  }
  return undefined;
}

/** @throws BackendError with the packages to install */
export function requirePackages(
  backend: string,
  names: readonly string[],
  places: readonly string[],
  note = '',
): void {
  const missing = names.filter((name) => packageEntry(name, places) === undefined);
  if (missing.length === 0) return;
  throw new BackendError(
    `the backend '${backend}' needs ${missing.join(' and ')}: npm install ${missing.join(' ')}${note}`,
  );
}
