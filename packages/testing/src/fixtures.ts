// Locations of test data, temporary folders, and expected errors.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** A file or folder of the reference values. */
export const golden = (path: string): string => join(ROOT, 'goldens', path);

/** Data that is not part of the repository. Tests are skipped if it is missing. */
export const shared = (path: string): string => join(ROOT, '..', 'shared', path);

/** Creates folders for a suite's files and removes them afterwards. */
export function temporaryFolders(): () => string {
  const made: string[] = [];
  after(() => {
    for (const dir of made) rmSync(dir, { recursive: true, force: true });
  });
  return () => {
    const dir = mkdtempSync(join(tmpdir(), 'rene-test-'));
    made.push(dir);
    return dir;
  };
}

type ErrorClass<E extends Error> = abstract new (...args: never[]) => E;

/** The error of that class with which the action fails. */
export async function errorOf<E extends Error>(
  type: ErrorClass<E>,
  action: () => unknown,
): Promise<E> {
  try {
    await action();
  } catch (error) {
    if (error instanceof type) return error;
    throw error;
  }
  throw new Error(`expected a ${type.name}, but it succeeded`);
}
