// RecurrentState: everything that a model remembers of the tokens it has seen.
import { InvalidArgumentError, type LayerState } from '@rene-js/layers';
import { GenerationError } from './errors.js';
import type { StateOwner } from './state_owner.js';

/**
 * The state of every layer after some tokens. `model.forward(ids, { state })` advances it.
 *
 * Its size is bounded if attention has a window. Clones share memory until one of them advances. Free it
 * with dispose().
 */
export class RecurrentState {
  /** The shapes of each block's state, as text. States with equal shapes fit the same models. */
  readonly form: readonly string[];
  private usable = true;
  /** The positions at the mark. */
  private marked: readonly number[] = [];

  /**
   * @param layers one per block; null for a block without state
   * @param seen tokens seen by each row
   * @param owner the model; needed to save the state
   */
  constructor(
    readonly layers: readonly (LayerState | null)[],
    private seen: readonly number[],
    readonly owner?: StateOwner,
  ) {
    this.form = layers.map((layer) => layer?.form ?? 'no state');
  }

  /** Batch size. */
  get batch(): number {
    return this.seen.length;
  }

  /** Tokens seen by each row. */
  get positions(): readonly number[] {
    return this.seen;
  }

  /** An independent copy. */
  clone(): RecurrentState {
    this.check();
    return new RecurrentState(
      this.layers.map((layer) => layer?.clone() ?? null),
      this.seen,
      this.owner,
    );
  }

  /** A state of the same model with these layers. It takes ownership of them. */
  with(layers: readonly (LayerState | null)[], positions: readonly number[]): RecurrentState {
    return new RecurrentState(layers, positions, this.owner);
  }

  /** A new state with these rows, in this order. A row may occur several times (beams, samples). */
  gather(rows: readonly number[]): RecurrentState {
    this.check();
    if (rows.length === 0) {
      throw new InvalidArgumentError('gather: rows', 'at least one row', 'none');
    }
    for (const row of rows) {
      if (!Number.isInteger(row) || row < 0 || row >= this.batch) {
        throw new InvalidArgumentError('gather: rows', `rows below ${this.batch}`, String(row));
      }
    }
    return new RecurrentState(
      this.layers.map((layer) => layer?.gather(rows) ?? null),
      rows.map((row) => this.seen[row] ?? 0),
      this.owner,
    );
  }

  /** A new state with the rows of all of these. Their positions may differ. */
  static concat(states: readonly RecurrentState[]): RecurrentState {
    const [first] = states;
    if (!first) throw new InvalidArgumentError('concat: states', 'at least one', 'none');
    for (const state of states) {
      state.check();
      state.checkForm('concat: states', first.form);
    }
    const layers = first.layers.map(
      (layer, i) => layer?.concat(states.slice(1).flatMap((s) => s.layers[i] ?? [])) ?? null,
    );
    return new RecurrentState(
      layers,
      states.flatMap((s) => s.positions),
      first.owner,
    );
  }

  /**
   * Writes it to a file for `model.restoreState(path)`. An existing file is replaced once the new one is
   * complete.
   *
   * @param path a path or a file URL
   * @throws GenerationError if the state cannot be used, or belongs to no model; CheckpointError for other
   *   URLs; FileError if the file cannot be written
   */
  async save(path: string | URL): Promise<void> {
    this.check();
    if (!this.owner) throw new GenerationError('this state does not belong to a model');
    const copy = this.clone(); // this one may go on while the file is written
    try {
      const { writeStateFile } = await import('./state_file.js');
      await writeStateFile(path, copy, await this.owner.fingerprint());
    } finally {
      copy.dispose();
    }
  }

  /**
   * Marks the present position. After one more forward pass `rewind` can return to any of its tokens.
   *
   * @returns the maximum number of tokens of that forward pass
   * @internal
   */
  mark(): number {
    this.check();
    this.marked = this.seen;
    return Math.min(...this.layers.map((layer) => layer?.mark() ?? Number.POSITIVE_INFINITY));
  }

  /**
   * Returns to `tokens` tokens after the mark, as if it had seen no others, and removes the mark.
   *
   * @internal
   */
  rewind(tokens: number): void {
    this.check();
    for (const layer of this.layers) layer?.rewind(tokens);
    this.seen = this.marked.map((position) => position + tokens);
  }

  /** Called by the model after every row has seen `length` more tokens. */
  advance(length: number): void {
    this.seen = this.seen.map((position) => position + length);
  }

  /** Called by the model when a forward failed half-way: some layers have advanced, others have not. */
  invalidate(): void {
    this.usable = false;
  }

  /** @throws GenerationError if the state cannot be used */
  check(): void {
    if (this.usable) return;
    throw new GenerationError(
      'this state was disposed, or a forward pass failed half-way; use an earlier clone',
    );
  }

  /** @throws InvalidArgumentError with the first block whose shapes differ */
  checkForm(argument: string, form: readonly string[]): void {
    const sizes = `a state of ${form.length} blocks`;
    if (form.length !== this.form.length) {
      throw new InvalidArgumentError(argument, sizes, `one of ${this.form.length}`);
    }
    const i = form.findIndex((block, index) => block !== this.form[index]);
    if (i < 0) return;
    throw new InvalidArgumentError(argument, `${form[i]} in block ${i}`, `${this.form[i]}`);
  }

  /** Frees its memory. Memory shared with clones is freed with the last of them. */
  dispose(): void {
    for (const layer of this.layers) layer?.dispose();
    this.usable = false;
  }
}
