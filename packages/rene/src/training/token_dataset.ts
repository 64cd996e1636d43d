// Tokenised documents, and the rows of fixed length that training and evaluation read.
//
// A row is [input 0 ... input L-1] with the target of each input, the next token. Rows start at the start of
// a document: if a row cuts off a document, the next row starts with it again, so that the model learns to
// start without context, as with a prompt.
import { InvalidArgumentError, ReneError } from '@rene-js/layers';
import seedrandom from 'seedrandom';

/** Ids of all documents, each followed by eos. */
export interface TokenDocuments {
  readonly ids: Uint16Array | Int32Array;
  /** Offsets: the start of each document and the end of the last one. */
  readonly starts: Uint32Array;
  readonly eosId: number;
  /** Size of the text in UTF-8, with one newline per document, for bits per byte. */
  readonly bytes: number;
  /** Occurrences of each document per epoch. Default: 1. */
  readonly repeats?: Uint8Array | undefined;
}

/** An encoder. `vocabSize` determines the bytes per id in memory. */
export interface DocumentEncoder {
  encode(text: string): readonly number[];
  readonly eosId: number;
  readonly vocabSize: number;
}

/** Encodes texts, one document each; empty ones are skipped. */
export function encodeDocuments(
  texts: Iterable<string>,
  { encode, eosId, vocabSize }: DocumentEncoder,
): TokenDocuments {
  const ids = new GrowingIds(vocabSize);
  const starts: number[] = [0];
  let bytes = 0;
  for (const text of texts) {
    if (text === '') continue;
    ids.push(encode(text));
    ids.push([eosId]);
    starts.push(ids.length);
    bytes += Buffer.byteLength(text) + 1;
  }
  if (starts.length === 1) throw new ReneError('expected at least one document with text in it');
  return { ids: ids.trimmed(), starts: Uint32Array.from(starts), eosId, bytes };
}

/** Splits texts randomly by seed: [training, held-out]. */
export function splitTexts(
  texts: readonly string[],
  heldOutFraction: number,
  seed: string,
): [string[], string[]] {
  if (!(heldOutFraction > 0 && heldOutFraction < 1)) {
    throw new InvalidArgumentError('heldOutFraction', 'between 0 and 1', String(heldOutFraction));
  }
  if (texts.length < 2) {
    throw new ReneError(
      `expected at least two documents, one of them to hold out, found ${texts.length}; ` +
        'write one document per line, or pass separate held-out text (--validation)',
    );
  }
  const count = Math.min(texts.length - 1, Math.max(1, Math.round(texts.length * heldOutFraction)));
  const heldOut = new Set(shuffledOrder(texts.length, `${seed}:held-out`).subarray(0, count));
  return [texts.filter((_, i) => !heldOut.has(i)), texts.filter((_, i) => heldOut.has(i))];
}

/** Inputs and targets of some rows, each (rows, length) row-major; a target of -1 is ignored. */
export interface TokenBatch {
  readonly rows: number;
  readonly length: number;
  readonly inputs: Int32Array;
  readonly targets: Int32Array;
  /** Number of targets that are not -1. */
  readonly counted: number;
}

/** The rows of one pass over the documents in a given order. */
export class TokenRows {
  private readonly rowStarts: readonly number[];
  private readonly packed: Pick<TokenDocuments, 'ids' | 'starts' | 'eosId'>;

  /** @param order indices of the documents. Default: in order */
  constructor(
    documents: TokenDocuments,
    readonly length: number,
    order?: Uint32Array,
  ) {
    if (!Number.isInteger(length) || length < 2) {
      throw new InvalidArgumentError('length', 'an integer of at least 2', String(length));
    }
    this.packed = order ? selectDocuments(documents, order) : documents;
    this.rowStarts = rowStartsOf(this.packed.starts, length);
  }

  get count(): number {
    return this.rowStarts.length;
  }

  /**
   * Rows [first, first + rows) for training. Every input has a target, except after the end of the text.
   * Every second row begins with an eos, as documents within a row do.
   */
  trainingBatch(first: number, rows: number): TokenBatch {
    return this.batch(first, rows, (row) => row % 2 === 0, false);
  }

  /**
   * Rows for evaluation: each token is a target once, a document's first one after an eos. A document cut
   * off at the end of a row is repeated in the next one.
   */
  evaluationBatch(first: number, rows: number): TokenBatch {
    return this.batch(first, rows, () => true, true);
  }

  private batch(
    first: number,
    rows: number,
    startsWithEos: (row: number) => boolean,
    onlyOnce: boolean,
  ): TokenBatch {
    const { length } = this;
    const { ids, eosId } = this.packed;
    const inputs = new Int32Array(rows * length).fill(eosId);
    const targets = new Int32Array(rows * length).fill(-1);
    let counted = 0;
    for (let r = 0; r < rows; r++) {
      const start = this.rowStarts[first + r];
      if (start === undefined) {
        throw new InvalidArgumentError('rows', `below ${this.count}`, String(first + r));
      }
      // A row that continues a long document starts after its previous token.
      const before = start === 0 ? eosId : (ids[start - 1] ?? eosId);
      const shift = startsWithEos(first + r) || before !== eosId ? 1 : 0;
      const end = onlyOnce ? (this.rowStarts[first + r + 1] ?? ids.length) : ids.length;
      for (let i = 0; i < length; i++) {
        const at = start + i - shift;
        const target = at + 1;
        inputs[r * length + i] = i === 0 && shift === 1 ? before : (ids[at] ?? eosId);
        if (target >= end) break;
        targets[r * length + i] = ids[target] ?? -1;
        counted++;
      }
    }
    return { rows, length, inputs, targets, counted };
  }
}

/** The documents of an epoch in random order, repeated as specified, packed into rows. */
export function epochRows(
  documents: TokenDocuments,
  length: number,
  seed: string,
  epoch: number,
): TokenRows {
  const all = Array.from({ length: documents.starts.length - 1 }, (_, i) => i);
  const { repeats } = documents;
  const listed = repeats ? all.flatMap((i) => Array<number>(repeats[i] ?? 1).fill(i)) : all;
  const order = shuffledOrder(listed.length, `${seed}:epoch:${epoch}`);
  return new TokenRows(
    documents,
    length,
    order.map((i) => listed[i] ?? 0),
  );
}

/**
 * A row has `length` tokens. The next one starts with the document that was cut off or, if that is longer
 * than a row, continues it.
 */
function rowStartsOf(starts: Uint32Array, length: number): number[] {
  const total = starts.at(-1) ?? 0;
  const rowStarts: number[] = [];
  let document = 0;
  for (let start = 0; start < total; ) {
    rowStarts.push(start);
    const end = start + length;
    if (end >= total) break;
    while ((starts[document + 1] ?? total) <= end) document++;
    const documentStart = starts[document] ?? total;
    start = documentStart > start ? documentStart : end;
  }
  return rowStarts;
}

/** The documents with these indices, in this order. */
function selectDocuments({ ids, starts, eosId }: TokenDocuments, order: Uint32Array) {
  const range = (document: number): [number, number] => [
    starts[document] ?? 0,
    starts[document + 1] ?? 0,
  ];
  const newStarts = new Uint32Array(order.length + 1);
  order.forEach((document, i) => {
    const [start, end] = range(document);
    newStarts[i + 1] = (newStarts[i] ?? 0) + end - start;
  });
  const total = newStarts.at(-1) ?? 0;
  const selected = ids instanceof Uint16Array ? new Uint16Array(total) : new Int32Array(total);
  order.forEach((document, i) => {
    selected.set(ids.subarray(...range(document)), newStarts[i] ?? 0);
  });
  return { ids: selected, starts: newStarts, eosId };
}

/** 0 ... count - 1 in random order (Fisher-Yates). */
function shuffledOrder(count: number, seed: string): Uint32Array {
  const random = seedrandom(seed);
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = Math.floor(random() * (i + 1));
    const swapped = order[i] ?? 0;
    order[i] = order[j] ?? 0;
    order[j] = swapped;
  }
  return order;
}

/** A growing array of ids. */
class GrowingIds {
  length = 0;
  private ids: Uint16Array | Int32Array;

  constructor(private readonly vocabSize: number) {
    this.ids = this.allocate(1 << 16);
  }

  push(more: readonly number[]): void {
    while (this.length + more.length > this.ids.length) {
      const larger = this.allocate(this.ids.length * 2);
      larger.set(this.ids);
      this.ids = larger;
    }
    for (const id of more) {
      if (!(id >= 0 && id < this.vocabSize)) {
        throw new InvalidArgumentError('encode', `ids below ${this.vocabSize}`, String(id));
      }
      this.ids[this.length++] = id;
    }
  }

  trimmed(): Uint16Array | Int32Array {
    return this.ids.slice(0, this.length);
  }

  private allocate(size: number): Uint16Array | Int32Array {
    return this.vocabSize <= 1 << 16 ? new Uint16Array(size) : new Int32Array(size);
  }
}
