// A model's folder on a web server. Browser and Node.
import { CheckpointError } from '../errors.js';
import { basicAuthorization } from './basic_authorization.js';
import type { WebFileOptions } from './web_file_options.js';

/** A folder whose files have URLs. */
export interface WebFolder extends WebFileOptions {
  /** Name for errors: without a query, which may contain a signature. */
  readonly name: string;
  /** The URL of a file, by its path in the folder. */
  url(file: string): string;
  /** Headers of every request. */
  readonly headers: Readonly<Record<string, string>>;
}

/** File names that a URL may end with where its folder is meant. */
const MODEL_FILES =
  /\/(?:config|tokenizer|adapter_config|model\.safetensors\.index)\.json$|\/(?:adapter_)?model\.safetensors$/;

/**
 * The folder of a URL, which may end in a slash, in the name of a model's file, or in neither. Its
 * query goes with every file; a user name and password in it are sent as a header.
 */
export function webFolder(url: URL, headers: Readonly<Record<string, string>> = {}): WebFolder {
  if (!/^https?:$/.test(url.protocol)) {
    throw new CheckpointError(`${url.protocol}: expected an http(s) URL`);
  }
  const login = basicAuthorization(url);
  const path = url.pathname.replace(MODEL_FILES, '').replace(/\/+$/, '');
  const name = url.origin + path;
  return {
    name,
    url: (file) => `${name}/${file.split('/').map(encodeURIComponent).join('/')}${url.search}`,
    headers: { ...headers, ...(login !== undefined && { authorization: login }) },
  };
}
