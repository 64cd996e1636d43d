// Access to the platform in pages and workers: every model is in a folder on a web server.
import { CheckpointError } from '../errors.js';
import { asRecord } from '../json.js';
import type { HubOptions } from './hub.js';
import { EMBEDDED_MODEL, isRepoId, nameText, schemeOf, shownUrl } from './model_names.js';
import { WebCache } from './web_cache/web_cache.js';
import { type WebFolder, webFolder } from './web_folder.js';

/** Advice if a server cannot be reached. A browser does not tell pages why. */
export const UNREACHABLE_ADVICE =
  'it is down, or does not allow this page to read it (Access-Control-Allow-Origin)';

export function platformFetch(url: string, init?: RequestInit): Promise<Response> {
  return fetch(url, init);
}

/**
 * The web folder that a name stands for: a URL, a path of the page's server (`/models/x`, `./x`), or a hub
 * id, whose files the hub gives to pages.
 *
 * @throws CheckpointError for other schemes, and for the included model, which is on no server
 */
export function webFolderOf(name: string | URL, hub: HubOptions): WebFolder {
  const { signal, onProgress, onNotice, retryDelay, cache = true } = hub;
  const kept = cache ? { cache: new WebCache() } : {};
  return { ...namedFolder(name, hub), signal, onProgress, onNotice, retryDelay, ...kept };
}

function namedFolder(name: string | URL, hub: HubOptions): WebFolder {
  const text = nameText(name);
  if (text === EMBEDDED_MODEL) {
    throw new CheckpointError(
      `'${EMBEDDED_MODEL}' is included for Node only: in a page, serve the folder models/${EMBEDDED_MODEL} ` +
        'of the package @rene-js/rene, and give its URL',
    );
  }
  if (isRepoId(text)) return hubFolder(text, hub);
  const scheme = schemeOf(text);
  const url = resolve(text);
  if (url && /^https?:$/.test(scheme ?? url.protocol)) return webFolder(url);
  throw new CheckpointError(
    `'${shownUrl(text)}': expected an http(s) URL, a path of the page's server (/models/x, ./x) or a hub id (owner/name)`,
  );
}

function hubFolder(id: string, hub: HubOptions): WebFolder {
  const { endpoint = 'https://huggingface.co', revision = 'main', token } = hub;
  const base = resolve(endpoint);
  if (!base) throw new CheckpointError(`endpoint: expected the URL of a hub, found '${endpoint}'`);
  const path = `${base.pathname.replace(/\/+$/, '')}/${id}/resolve/${encodeURIComponent(revision)}`;
  return webFolder(new URL(path, base), token ? { authorization: `Bearer ${token.trim()}` } : {});
}

/** A URL, relative to the page or the worker's script. */
function resolve(text: string): URL | undefined {
  // A worker made from a Blob has no base but its page's origin.
  const bases = [property('document', 'baseURI'), property('location', 'href'), property('origin')];
  const base = bases.find((each) => each !== undefined && URL.canParse(text, each));
  return base === undefined ? undefined : new URL(text, base);
}

/** A string property of a page's globals. */
function property(name: string, key?: string): string | undefined {
  const value: unknown = Reflect.get(globalThis, name);
  const found = key === undefined ? value : asRecord(value)?.[key];
  return typeof found === 'string' ? found : undefined;
}
