// Identifies a file that is not a checkpoint, for the error message.
import type { ByteSource } from './byte_source.js';

const KINDS: readonly (readonly [start: RegExp | string, kind: string])[] = [
  [
    'version https://git-lfs',
    "a Git LFS pointer, which stands for the file: run 'git lfs pull' in its repository, or download the file itself",
  ],
  [
    /^\s*<(?:!doctype|html|\?xml|error|head|body)/i,
    'a web page or XML; was it downloaded from the right address?',
  ],
  ['GGUF', 'a GGUF file, which is not supported: take the safetensors of the same model'],
  ['PK\u0003\u0004', 'a zip archive, such as a pytorch_model.bin: give it its own name'],
  [
    '\u0080\u0002',
    'a pickle, as PyTorch before 1.6 wrote them: it must be saved again, as safetensors at best',
  ],
  ['\u0089HDF', 'an HDF5 file, which is not supported'],
  [/^\s*[{[]/, 'JSON'],
];

/** The file type by its first bytes; undefined if unknown. */
export async function fileKind(source: ByteSource): Promise<string | undefined> {
  const bytes = await source.read(0, Math.min(source.size, 100));
  const text = String.fromCharCode(...bytes).replace('\u00ef\u00bb\u00bf', '');
  return KINDS.find(([start]) =>
    typeof start === 'string' ? text.startsWith(start) : start.test(text),
  )?.[1];
}
