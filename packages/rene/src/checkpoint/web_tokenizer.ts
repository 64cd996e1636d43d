// The files of a tokenizer in a folder on a web server. Browser and Node.
import { asRecord } from '../json.js';
import { fetchJson, fetchText, Missing } from './web_file.js';
import type { WebFolder } from './web_folder.js';

/** What Tokenizer.fromJson takes. */
export interface WebTokenizer {
  json: unknown;
  /** tokenizer_config.json over special_tokens_map.json, with chat_template.jinja. */
  config: Record<string, unknown>;
}

/** @returns why there is none. @throws CheckpointError */
export async function readWebTokenizer(folder: WebFolder): Promise<WebTokenizer | Missing> {
  const fetchRecord = async (name: string) => {
    const found = await fetchJson(folder.url(name), folder);
    return found instanceof Missing ? {} : asRecord(found.json);
  };
  const [found, map, config, template] = await Promise.all([
    fetchJson(folder.url('tokenizer.json'), folder),
    fetchRecord('special_tokens_map.json'),
    fetchRecord('tokenizer_config.json'),
    fetchText(folder.url('chat_template.jinja'), folder),
  ]);
  if (found instanceof Missing) return found;
  const own = template instanceof Missing ? {} : { chat_template: template };
  return { json: found.json, config: { ...map, ...config, ...own } };
}
