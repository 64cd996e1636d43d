// Model names: hub ids and the included model.
import { InvalidArgumentError } from '@rene-js/layers/errors';

/** The included model. */
export const EMBEDDED_MODEL = 'rene-tiny';

/** Whether a name can be a hub id: owner/name, or the bare name of an old model such as gpt2. */
export function isRepoId(name: string): boolean {
  const isId = /^(?:[A-Za-z0-9][\w.-]*\/)?[A-Za-z0-9][\w.-]*$/.test(name);
  if (!isId || /--|\.\./.test(name)) return false;
  // A missing file is not a model id.
  return !/^[^/]*\.(?:json|safetensors|bin|pt|pth|gguf|npz|txt|model|zip)$/i.test(name);
}

/** A model's name as text. @throws InvalidArgumentError unless it is text or a URL */
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

/** A URL for error messages: without login and query, which may contain a signature. */
export function shownUrl(url: string): string {
  return url.replace(/[?#].*$/s, '').replace(/^([^/]*\/\/)[^/]*@/, '$1');
}

/** Whether a name is another one with at most two letters missing, added or changed, whatever the case. */
export function isNearly(name: string, other: string): boolean {
  const [a, b] = [name.toLowerCase(), other.toLowerCase()];
  if (Math.abs(a.length - b.length) > 2) return false;
  let before = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (const [i, letter] of [...a].entries()) {
    const row = [i + 1];
    for (let j = 0; j < b.length; j++) {
      const changed = (before[j] ?? 0) + (letter === b[j] ? 0 : 1);
      row.push(Math.min(changed, (before[j + 1] ?? 0) + 1, (row[j] ?? 0) + 1));
    }
    before = row;
  }
  return (before[b.length] ?? 3) <= 2;
}
