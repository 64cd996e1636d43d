// Tensor names of training wrappers: DistributedDataParallel, FSDP, torch.compile, Lightning and others add
// prefixes and name parts to the model's names.
import { CheckpointError } from '../errors.js';
import type { TensorFile } from './tensor_file.js';

/** Name parts that wrappers add, at any position. */
const WRAPPERS: ReadonlySet<string> = new Set([
  ...['_orig_mod', '_fsdp_wrapped_module', '_checkpoint_wrapped_module', '_forward_module'],
]);

/** A tensor that every model of an architecture has. The prefix of its name is the prefix of all names. */
const EMBEDDINGS = [
  ...['backbone.embedding.weight', 'backbone.embeddings.weight'],
  ...['model.embeddings.weight', 'model.embed_tokens.weight'],
];

/** A name without the parts that torch.compile, FSDP and activation checkpointing insert. */
export function withoutWrappers(name: string): string {
  return name
    .split('.')
    .filter((part) => !WRAPPERS.has(part))
    .join('.');
}

/**
 * The names of a model's tensors, keyed by their names in its files: without wrappers' parts and without the
 * common prefix, so that `module.backbone.norm_f.weight` is `backbone.norm_f.weight`.
 *
 * @param path name of the checkpoint in errors
 * @throws CheckpointError if the files contain several models, or two tensors get the same name
 */
export function modelNames(path: string, files: readonly TensorFile[]): Map<string, string> {
  const plain = files.flatMap((file) =>
    [...file.tensors.keys()].map((name) => [name, withoutWrappers(name)] as const),
  );
  const prefixes = new Set(
    plain.flatMap(([, name]) =>
      EMBEDDINGS.flatMap((own) => {
        const isOwn = name === own || name.endsWith(`.${own}`);
        return isOwn ? [name.slice(0, -own.length)] : [];
      }),
    ),
  );
  const prefix = prefixes.has('') ? '' : ([...prefixes][0] ?? '');
  if (prefix !== '' && prefixes.size > 1) {
    const found = [...prefixes]
      .sort()
      .map((each) => `'${each}'`)
      .join(', ');
    throw new CheckpointError(
      `${path}: expected the tensors of one model, found several, under the prefixes ${found}: save the ` +
        'one you need separately',
    );
  }
  const names = new Map<string, string>();
  const taken = new Map<string, string>();
  for (const [inFile, name] of plain) {
    const own = name.startsWith(prefix) ? name.slice(prefix.length) : name;
    const other = taken.get(own);
    if (other !== undefined && other !== inFile) {
      throw new CheckpointError(
        `${path}: both '${other}' and '${inFile}' map to the tensor '${own}'`,
      );
    }
    taken.set(own, inFile);
    names.set(inFile, own);
  }
  return names;
}
