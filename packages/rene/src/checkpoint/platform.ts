// The seam to the platform, for Node: proxies, and what a model's name stands for. package.json puts
// platform_browser.ts in its place for browsers.
import type { HubOptions } from './hub.js';
import { schemeOf } from './model_names.js';
import { proxiedFetch } from './proxy.js';
import { type WebFolder, webFolder } from './web_folder.js';

/** fetch, by way of the proxy that the environment names. */
export const platformFetch: (url: string, init?: RequestInit) => Promise<Response> = proxiedFetch;

/** The web folder that a name stands for; undefined for a folder on the disk or a hub id. */
export function webFolderOf(name: string | URL, _hub: HubOptions): WebFolder | undefined {
  const text = String(name);
  return /^https?:$/.test(schemeOf(text) ?? '') ? webFolder(new URL(text)) : undefined;
}
