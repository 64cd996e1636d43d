// The option --backend of all commands. It loads no backend, so that a misspelt name is refused at once.
import { InvalidArgumentError, Option } from 'commander';

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

export function backendOption(): Option {
  return new Option('--backend <name>', `backend: ${BACKENDS.join(', ')}`).argParser(backendName);
}

/** @throws InvalidArgumentError of commander, which is a usage error */
function backendName(text: string): string {
  if (BACKENDS.includes(text)) return text;
  throw new InvalidArgumentError(`Expected one of ${BACKENDS.join(', ')}.`);
}
