// Unicode normal forms in linear time.

export type NormalForm = 'NFC' | 'NFD' | 'NFKC' | 'NFKD';

/**
 * The normal form of a text. Engines sort runs of combining marks by insertion, which takes minutes for a
 * million marks, so long runs are sorted first.
 */
export function normalForm(text: string, form: NormalForm): string {
  const decomposition = form === 'NFKC' || form === 'NFKD' ? 'NFKD' : 'NFD';
  return text.replace(LONG_ROW, (row) => inCanonicalOrder(row, decomposition)).normalize(form);
}

/** Marks, and the two letters that become marks in compatibility forms. */
const LONG_ROW = /[\p{M}\uff9e\uff9f]{64,}/gu;

/** Decomposes a run of marks and sorts it stably by combining class, between marks of class 0. */
function inCanonicalOrder(row: string, form: 'NFD' | 'NFKD'): string {
  const marks = decomposed(row, form);
  const classes = combiningClasses(new Set(marks));
  for (let start = 0; start < marks.length; ) {
    let end = start;
    while (end < marks.length && classes.has(marks[end] ?? 0)) end++;
    sortByClass(marks.subarray(start, end), classes);
    start = end + 1;
  }
  const chunks: string[] = [];
  for (let at = 0; at < marks.length; at += CHUNK) {
    chunks.push(String.fromCodePoint(...marks.subarray(at, at + CHUNK)));
  }
  return chunks.join('');
}

/** Number of arguments that every engine accepts. */
const CHUNK = 4096;

/** The code points of a run of marks. */
function decomposed(row: string, form: 'NFD' | 'NFKD'): Uint32Array {
  const known = new Map<number, readonly number[]>();
  const marks: number[] = [];
  for (let at = 0; at < row.length; ) {
    const mark = row.codePointAt(at) ?? 0;
    at += mark > 0xffff ? 2 : 1;
    let parts = known.get(mark);
    if (!parts) {
      parts = [...String.fromCodePoint(mark).normalize(form)].map(
        (part) => part.codePointAt(0) ?? 0,
      );
      known.set(mark, parts);
    }
    for (const part of parts) marks.push(part);
  }
  return Uint32Array.from(marks);
}

/** Counting sort by combining class, in place. */
function sortByClass(marks: Uint32Array, classes: ReadonlyMap<number, number>): void {
  const places = new Uint32Array(MAX_CLASSES + 1);
  const classOf = (mark: number) => classes.get(mark) ?? 0;
  for (const mark of marks) places[classOf(mark) + 1] = (places[classOf(mark) + 1] ?? 0) + 1;
  for (let i = 1; i < MAX_CLASSES; i++) places[i] = (places[i] ?? 0) + (places[i - 1] ?? 0);
  for (const mark of marks.slice()) {
    const place = places[classOf(mark)] ?? 0;
    places[classOf(mark)] = place + 1;
    marks[place] = mark;
  }
}

/** Unicode has 55 besides class 0. */
const MAX_CLASSES = 256;

/** Ranks of the combining classes, which JavaScript does not expose. Marks of class 0 have none. */
function combiningClasses(marks: ReadonlySet<number>): Map<number, number> {
  const classes = new Map<number, number>();
  const combining = [...marks].map((mark) => String.fromCodePoint(mark)).filter(isCombining);
  combining.sort((a, b) => (comesBefore(a, b) ? -1 : comesBefore(b, a) ? 1 : 0));
  let place = 0;
  combining.forEach((mark, i) => {
    const previous = combining[i - 1];
    if (previous !== undefined && comesBefore(previous, mark)) place++;
    classes.set(mark.codePointAt(0) ?? 0, place);
  });
  return classes;
}

/** Whether a mark's class is the lower of two nonzero classes. */
function comesBefore(a: string, b: string): boolean {
  return (b + a).normalize('NFD') !== b + a;
}

/** Whether a mark's class is not 0: then it is reordered with the lowest or the highest class. */
function isCombining(mark: string): boolean {
  return comesBefore(LOWEST, mark) || comesBefore(mark, HIGHEST);
}

/** Marks of class 1 and of class 240. */
const LOWEST = '\u0334';
const HIGHEST = '\u0345';
