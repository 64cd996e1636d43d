// The seam to the platform, for Node: proxies, and what a model's name stands for. package.json puts
// platform_browser.ts in its place for browsers.
import { CheckpointError } from '../errors.js';
import { checkConnection } from './connect.js';
import type { HubOptions } from './hub.js';
import { nameText, schemeOf, shownUrl } from './model_names.js';
import { proxiedFetch } from './proxy.js';
import { type WebFolder, webFolder } from './web_folder.js';

/** What to do when a server is not reached. */
export const UNREACHABLE_ADVICE = 'without a network, give a model folder';

/** Without a network an error comes by then, not after fetch's 10 s. */
const FIRST_CONTACT_MS = 4000;
const contacted = new Set<string>();

/** fetch, by way of the proxy that the environment names. */
export async function platformFetch(url: string, init?: RequestInit): Promise<Response> {
  const { origin } = new URL(url);
  if (!contacted.has(origin)) await checkConnection(url, FIRST_CONTACT_MS, undefined);
  contacted.add(origin);
  return proxiedFetch(url, init);
}

/** The web folder that a name stands for; undefined for a folder on the disk or a hub id. */
export function webFolderOf(name: string | URL, _hub: HubOptions): WebFolder | undefined {
  const text = nameText(name);
  if (!/^https?:$/.test(schemeOf(text) ?? '')) return undefined;
  if (URL.canParse(text)) return webFolder(new URL(text));
  throw new CheckpointError(`'${shownUrl(text)}': expected the http(s) URL of a folder`);
}
