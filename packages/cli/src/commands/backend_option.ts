// Parses the name of a backend. It loads no backend, so that a misspelt name is refused at once.
import { InvalidArgumentError } from 'commander';

/** The backends of useBackend that its error names in Node. */
export const BACKENDS: readonly string[] = [
  'auto',
  'cpu',
  'simd',
  'cuda',
  'tensorflow',
  'webgpu',
  'wasm',
  'webgl',
];

/** A parser for --backend. @throws InvalidArgumentError of commander, which is a usage error */
export function backendName(text: string): string {
  if (BACKENDS.includes(text)) return text;
  throw new InvalidArgumentError(`Expected one of ${BACKENDS.join(', ')}.`);
}
