// Reading a weight from memory without a wait at the start of each of its pages.
//
// What a processor reads ahead ends with a page of 4 KB: the first read of the next one waits for its address and
// its first lines, and so would a load that asks for it early, as loads end in order. A store is not waited for.
// So who reads a weight writes a word of the next page, the one that is there: the first words of all pages
// are kept after the panels. Threads that write one at the same time write the same. Some processors read on beyond the
// page by themselves and are held up by this: Reading says whether it is done.

const PAGE_SHIFT: usize = 12;
export const PAGE: usize = 1 << PAGE_SHIFT;

/** The start of the page of `panels` in which p lies. */
export function pageOf(panels: usize, p: usize): usize {
  return panels + (((p - panels) >> PAGE_SHIFT) << PAGE_SHIFT);
}

/** Asks for a page of `panels`, which end at `end`; does nothing beyond, and so nothing where `end` is 0. */
export function prefetchPage(page: usize, panels: usize, end: usize): void {
  if (page < end) store<u32>(page, load<u32>(end + (((page - panels) >> PAGE_SHIFT) << 2)));
}
