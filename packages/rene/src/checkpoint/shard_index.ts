// The index of a model whose weights are in several files: tensor name to file name.
import { CheckpointError } from '../errors.js';
import { asRecord } from '../json.js';

/** The file of each tensor, from an index.json. @throws CheckpointError */
export function weightMap(json: unknown, path: string): Map<string, string> {
  const map = asRecord(asRecord(json)?.weight_map);
  if (map === undefined) {
    throw new CheckpointError(`${path}: expected an object named weight_map`);
  }
  return new Map(
    Object.entries(map).map(([name, shard]): [string, string] => {
      if (typeof shard === 'string' && isInside(shard)) return [name, shard];
      throw new CheckpointError(
        `${path}: '${name}': expected the name of a file in the same folder, found ${JSON.stringify(shard)}`,
      );
    }),
  );
}

/** The files in an index. @throws CheckpointError */
export function shardNames(json: unknown, path: string): string[] {
  return [...new Set(weightMap(json, path).values())];
}

/** Whether a name stays inside a folder: an index must not refer to files elsewhere. */
function isInside(name: string): boolean {
  const isDrive = /^[a-z]:/i.test(name);
  // biome-ignore lint/suspicious/noControlCharactersInRegex: it refuses them
  if (isDrive || /[\\\u0000-\u001f\u007f]/.test(name)) return false;
  return name.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
}
