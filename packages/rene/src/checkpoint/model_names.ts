// The names by which models are known: hub ids, and the small model that comes with the package.
import { InvalidArgumentError } from '@rene-js/layers/errors';

/** The small model that comes with the package. */
export const EMBEDDED_MODEL = 'rene-tiny';

/** Whether a name can be a hub id: owner/name, or the bare name of an old model such as gpt2. */
export function isRepoId(name: string): boolean {
  const isId = /^(?:[A-Za-z0-9][\w.-]*\/)?[A-Za-z0-9][\w.-]*$/.test(name);
  if (!isId || /--|\.\./.test(name)) return false;
  // A file that is not there is no model.
  return !/^[^/]*\.(?:json|safetensors|bin|pt|pth|gguf|npz|txt|model|zip)$/i.test(name);
}

/** The name of a model as text. @throws InvalidArgumentError for what is neither text nor a URL */
export function nameText(name: unknown): string {
  if (typeof name === 'string' || name instanceof URL) return String(name);
  const found = name === null ? 'null' : typeof name;
  throw new InvalidArgumentError('name', 'a folder, a hub id (owner/name) or a URL', found);
}

/** The scheme of a name that is a URL: 'https:'; undefined for others, such as 'C:\models'. */
export function schemeOf(name: string): string | undefined {
  return /^(?:(file|data|blob|https?):|([a-z][a-z\d+.-]+):\/\/)/i
    .exec(name)?.[0]
    .replace(/\/*$/, '')
    .toLowerCase();
}

/** A URL as errors show it: without a login, and without a query, which may hold a signature. */
export function shownUrl(url: string): string {
  return url.replace(/[?#].*$/s, '').replace(/^([^/]*\/\/)[^/]*@/, '$1');
}
