// Software prefetch of a weight's pages.
//
// Hardware prefetch stops at the end of a 4 KB page: the first read of the next one waits for address
// translation and its first lines. An early load would wait too, since loads retire in order; a store does
// not. So the reader writes the first word of the next page, with the value that it already has: the first
// words of all pages are stored after the panels. Threads that write the same word write the same value.
// Some processors prefetch across pages and are slowed down by this, so ReadStrategy decides.

const PAGE_SHIFT: usize = 12;
export const PAGE: usize = 1 << PAGE_SHIFT;

/** The start of the page of `panels` that contains p. */
export function pageOf(panels: usize, p: usize): usize {
  return panels + (((p - panels) >> PAGE_SHIFT) << PAGE_SHIFT);
}

/** Prefetches a page of `panels`, which end at `end`; does nothing beyond it, nor if `end` is 0. */
export function prefetchPage(page: usize, panels: usize, end: usize): void {
  if (page < end) store<u32>(page, load<u32>(end + (((page - panels) >> PAGE_SHIFT) << 2)));
}
