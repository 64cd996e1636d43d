// Access to the platform in Node: proxies and model names. package.json replaces this file by
// platform_browser.ts for browsers.
import { CheckpointError } from '../errors.js';
import { checkConnection } from './connect.js';
import type { HubOptions } from './hub.js';
import { nameText, schemeOf, shownUrl } from './model_names.js';
import { proxiedFetch } from './proxy.js';
import { type WebFolder, webFolder } from './web_folder.js';

/** Advice if a server cannot be reached. */
export const UNREACHABLE_ADVICE = 'without a network, give a model folder';

/** Timeout without a network, where fetch would take 10 s. */
const FIRST_CONTACT_MS = 4000;
const contacted = new Set<string>();

/** fetch through the proxy of the environment. */
export async function platformFetch(url: string, init?: RequestInit): Promise<Response> {
  const { origin } = new URL(url);
  if (!contacted.has(origin)) await checkConnection(url, FIRST_CONTACT_MS, undefined);
  contacted.add(origin);
  return proxiedFetch(url, init);
}

/** The web folder of a name; undefined for a local folder or a hub id. */
export function webFolderOf(name: string | URL, hub: HubOptions): WebFolder | undefined {
  const text = nameText(name);
  if (!/^https?:$/.test(schemeOf(text) ?? '')) return undefined;
  const { signal, onProgress, onNotice, retryDelay } = hub;
  const options = { signal, onProgress, onNotice, retryDelay };
  if (URL.canParse(text)) return { ...webFolder(new URL(text)), ...options };
  throw new CheckpointError(`'${shownUrl(text)}': expected the http(s) URL of a folder`);
}
