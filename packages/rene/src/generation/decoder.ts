// What continues the rows of a batch, a token each at a time: the model's forward, or a step that its
// backend has compiled.
import { BackendError, type DecodeStep } from '@rene-js/layers';
import type { RecurrentState } from '../state.js';
import { noToken, type TokenChooser } from './choose.js';
import type { Row } from './loop.js';
import { type GenerationModel, selectRows, step } from './model_calls.js';
import type { Settings } from './options.js';

/** Holds the states of the rows that go on. */
export interface Decoder {
  /** Gives each row its next token. The rows are those it holds, in their order. */
  decode(rows: readonly Row[]): Promise<void>;
  /** Goes on with these of its rows. */
  keep(kept: readonly number[]): void;
  /** A state of one row, the caller's. */
  stateOf(row: number): RecurrentState;
  /** What decodes many tokens fastest: this decoder, or one that takes its place. */
  compiled(): Decoder;
  dispose(): void;
}

/** The rows of a state continued by the model's forward. The state becomes the decoder's. */
export function forwardDecoder(
  model: GenerationModel,
  state: RecurrentState,
  chooser: TokenChooser,
  settings: Settings,
): Decoder {
  return new ForwardDecoder(model, state, chooser, settings);
}

/** Chooses a row's next token from logits. */
export function extend(
  row: Row,
  logits: Float32Array = new Float32Array(0),
  chooser: TokenChooser,
  { logProbs }: Settings,
): void {
  const id = chooser.choose(logits, row);
  if (logProbs !== undefined) row.logProbs.push(chooser.logProb(logits, id, logProbs));
  row.push(id);
}

class ForwardDecoder implements Decoder {
  private isRefused = false;

  constructor(
    private readonly model: GenerationModel,
    private state: RecurrentState,
    private readonly chooser: TokenChooser,
    private readonly settings: Settings,
  ) {}

  async decode(rows: readonly Row[]): Promise<void> {
    const logits = await step(this.model, this.state, rows.map(lastToken));
    for (const [i, row] of rows.entries()) extend(row, logits[i], this.chooser, this.settings);
  }

  keep(kept: readonly number[]): void {
    this.state = selectRows(this.state, kept);
  }

  stateOf(row: number): RecurrentState {
    return this.state.gather([row]);
  }

  compiled(): Decoder {
    const { model, state, chooser, settings } = this;
    if (this.isRefused) return this;
    let step: DecodeStep | undefined;
    try {
      step = model.compileStep?.(state.batch, settings.vocabSize);
      for (const [row, position] of state.positions.entries()) {
        step?.join(state.layers, row, position);
      }
    } catch (error) {
      step?.dispose();
      // A step has states of its own; where there is no room for them, the forward goes on.
      if (!(error instanceof BackendError)) throw error;
      step = undefined;
    }
    this.isRefused = !step;
    if (!step) return this;
    state.dispose();
    return new StepDecoder(step, state, chooser, settings);
  }

  dispose(): void {
    this.state.dispose();
  }
}

class StepDecoder implements Decoder {
  /** The row in each of the step's places. */
  private places: number[];
  private positions: number[];

  /**
   * @param step holds the state's rows
   * @param state disposed; gives its owner to the states that are taken out
   */
  constructor(
    private readonly step: DecodeStep,
    private readonly state: RecurrentState,
    private readonly chooser: TokenChooser,
    private readonly settings: Settings,
  ) {
    this.positions = [...state.positions];
    this.places = this.positions.map((_, row) => row);
  }

  async decode(rows: readonly Row[]): Promise<void> {
    const { chooser, settings, places } = this;
    const placed = places.flatMap((row) => rows[row] ?? []);
    const tokens = placed.map(lastToken);
    const choices = this.step.choose ? placed.flatMap((row) => chooser.choice(row) ?? []) : [];
    if (this.step.choose && choices.length === placed.length) {
      const ids = await this.step.choose(tokens, choices);
      for (const [place, row] of placed.entries()) {
        const id = ids[place] ?? -1;
        if (id < 0) throw noToken(Float32Array.of(Number.NaN), row.sequence.length);
        row.push(id);
      }
    } else {
      const logits = await this.step.logits(tokens);
      for (const [place, row] of placed.entries()) extend(row, logits[place], chooser, settings);
    }
    this.positions = this.positions.map((position) => position + 1);
  }

  keep(kept: readonly number[]): void {
    // From the last place on, so that the row that takes a free place is one that stays.
    for (let place = this.places.length - 1; place >= 0; place--) {
      if (kept.includes(this.places[place] ?? -1)) continue;
      this.step.leave(place);
      const last = this.places.pop();
      if (place < this.places.length && last !== undefined) this.places[place] = last;
    }
    this.places = this.places.map((row) => kept.indexOf(row));
    this.positions = kept.map((row) => this.positions[row] ?? 0);
  }

  stateOf(row: number): RecurrentState {
    const layers = this.step.statesOf(this.places.indexOf(row));
    return this.state.with(layers, [this.positions[row] ?? 0]);
  }

  compiled(): Decoder {
    return this;
  }

  dispose(): void {
    this.step.dispose();
  }
}

function lastToken({ sequence }: Row): number {
  return sequence.at(-1) ?? 0;
}
