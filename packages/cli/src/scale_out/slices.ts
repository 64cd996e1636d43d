// Slices: work with a common prefix, which one worker reads once.
import type { WorkItem } from './work.js';

/** Number of requests of a slice. */
const REQUESTS = 8;
/** Number of scores from which a slice ends with a document, and at which it ends anyway. */
const SCORES = 64;
const MAX_SCORES = 256;

/** Sorts items by their prompts and cuts them into slices. All are of one kind. */
export function slicesOf(items: readonly WorkItem[]): WorkItem[][] {
  const keyed = items.map((item) => ({ item, key: sortKey(item), context: contextOf(item) }));
  keyed.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : 0));
  const slices: WorkItem[][] = [];
  let before: string | undefined;
  for (const { item, context } of keyed) {
    const slice = slices.at(-1);
    if (slice && !isFull(slice, context !== before)) slice.push(item);
    else slices.push([item]);
    before = context;
  }
  return slices;
}

function isFull(slice: readonly WorkItem[], isOther: boolean): boolean {
  if (slice[0]?.work.kind === 'request') return slice.length >= REQUESTS;
  return slice.length >= MAX_SCORES || (slice.length >= SCORES && isOther);
}

/** Equal beginnings make neighbours. */
function sortKey({ work }: WorkItem): string {
  if (work.kind === 'score') return codes([...work.contextIds, ...work.continuationIds]);
  const { prompt, messages } = work.request.body;
  return JSON.stringify(messages ?? prompt ?? '');
}

/** What the choices of a document share. */
function contextOf({ work }: WorkItem): string {
  return work.kind === 'score' ? codes(work.contextIds) : '';
}

/** Two code units for each id, which sort as the ids do. */
function codes(ids: readonly number[]): string {
  return ids.map((id) => String.fromCharCode(id >>> 16, id & 0xffff)).join('');
}
