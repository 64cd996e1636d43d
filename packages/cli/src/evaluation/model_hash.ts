// The cache key of a model's results: a hash of everything that determines them.
import { createHash } from 'node:crypto';
import { createReadStream } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';

/** Files that determine a model's results. */
const PATTERN = /^((adapter_)?config\.json|tokenizer\.json|.*\.(safetensors|bin|index\.json))$/;

/**
 * @param dir a model's folder
 * @param settings what else determines the results: dtype, backend
 */
export async function modelHash(dir: string, settings: readonly string[]): Promise<string> {
  const hash = createHash('sha256');
  for (const name of (await readdir(dir)).filter((n) => PATTERN.test(n)).toSorted()) {
    hash.update(`${name}\0`);
    for await (const chunk of createReadStream(join(dir, name), { highWaterMark: 1 << 22 })) {
      hash.update(chunk);
    }
  }
  return hash.update(settings.join('\0')).digest('hex').slice(0, 32);
}

/** Default folder of cached results. */
export function defaultCacheDir(): string {
  const cache = process.env.XDG_CACHE_HOME || join(homedir(), '.cache');
  return join(cache, 'rene', 'evaluation');
}
