// Names of tensors as training wrappers write them: DistributedDataParallel, FSDP, torch.compile,
// Lightning and others put parts of their own before or between the model's names.
import { CheckpointError } from '../errors.js';
import type { TensorFile } from './tensor_file.js';

/** Name parts that stand for a wrapper, in any position. */
const WRAPPERS: ReadonlySet<string> = new Set([
  ...['_orig_mod', '_fsdp_wrapped_module', '_checkpoint_wrapped_module', '_forward_module'],
]);

/** The tensor that every model has, by its architecture. What stands before its name stands before all others. */
const EMBEDDINGS = [
  ...['backbone.embedding.weight', 'backbone.embeddings.weight'],
  ...['model.embeddings.weight', 'model.embed_tokens.weight'],
];

/** A name without the parts that torch.compile, FSDP and activation checkpointing put into it. */
export function withoutWrappers(name: string): string {
  return name
    .split('.')
    .filter((part) => !WRAPPERS.has(part))
    .join('.');
}

/**
 * The names of a model's tensors, by their names in its files, without a wrapper's parts and without the
 * prefix that all of them share: `module.backbone.norm_f.weight` is `backbone.norm_f.weight`.
 *
 * @param path how errors call the checkpoint
 * @throws CheckpointError where several models are in the files, or two tensors get one name
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
        'one that is wanted by itself',
    );
  }
  const names = new Map<string, string>();
  const taken = new Map<string, string>();
  for (const [inFile, name] of plain) {
    const own = name.startsWith(prefix) ? name.slice(prefix.length) : name;
    const other = taken.get(own);
    if (other !== undefined && other !== inFile) {
      throw new CheckpointError(
        `${path}: both '${other}' and '${inFile}' are '${own}' of the model`,
      );
    }
    taken.set(own, inFile);
    names.set(inFile, own);
  }
  return names;
}
