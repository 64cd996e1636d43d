// Finds and checks the hub's token.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { HubError } from '../errors.js';
import { type Environment, expandPath } from './expand_path.js';
import { hubHome } from './hub_cache.js';

/**
 * The token of HF_TOKEN or HUGGING_FACE_HUB_TOKEN, else the one that `hf auth login` saved.
 *
 * @returns undefined if there is none, or if HF_HUB_DISABLE_IMPLICIT_TOKEN is set
 */
export async function savedToken(env: Environment = process.env): Promise<string | undefined> {
  if (isSet(env.HF_HUB_DISABLE_IMPLICIT_TOKEN)) return undefined;
  for (const name of ['HF_TOKEN', 'HUGGING_FACE_HUB_TOKEN']) {
    const token = cleanToken(env[name] ?? '', name);
    if (token !== undefined) return token;
  }
  const path = env.HF_TOKEN_PATH
    ? expandPath(env.HF_TOKEN_PATH, 'HF_TOKEN_PATH', env)
    : join(hubHome(env), 'token');
  return cleanToken(await readFile(path, 'utf8').catch(() => ''), path);
}

/**
 * Trims a token; undefined if it is empty.
 *
 * @param where source of the token
 * @throws HubError, without the token, if it cannot be sent in a header
 */
export function cleanToken(text: string, where: string): string | undefined {
  const token = text.replace(/[\r\n\ufeff]/g, '').trim();
  if (/^[\x21-\x7e]*$/.test(token)) return token || undefined;
  throw new HubError(`${where}: expected a token of letters and digits, such as hf_...`);
}

/** Whether an environment variable is true, as in Python's huggingface_hub. */
export function isSet(value: string | undefined): boolean {
  return /^(1|true|yes|on)$/i.test(value?.trim() ?? '');
}
