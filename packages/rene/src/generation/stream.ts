// stream: the tokens of one sequence as they come.
import { InvalidArgumentError } from '@rene-js/layers';
import { collect, type GenerateResult } from './generate.js';
import { generationLoop, makeRows, type Row } from './loop.js';
import type { GenerationModel } from './model_calls.js';
import {
  type GenerateOptions,
  resolveOptions,
  type Settings,
  type StreamOptions,
} from './options.js';

/**
 * Yields each new token's id as soon as it is chosen, the end of text included. The generator's
 * return value is what generate would have returned. Leaving a `for await` early frees everything.
 *
 * @throws InvalidArgumentError at once; GenerationError and GenerationAbortedError while it runs
 */
export function stream(
  model: GenerationModel,
  ids: readonly number[],
  options: StreamOptions = {},
): AsyncGenerator<number, GenerateResult, void> {
  const { rows, settings } = startRow(model, ids, options);
  return tokens(model, rows, settings);
}

/** The one row of a stream. @throws InvalidArgumentError */
export function startRow(
  model: GenerationModel,
  ids: readonly number[],
  options: StreamOptions,
): { rows: readonly Row[]; settings: Settings } {
  for (const [name, value] of Object.entries(options)) {
    if (value === undefined || !ONLY_GENERATE.has(name)) continue;
    throw new InvalidArgumentError('options', `those of a stream; generate has ${name}`, name);
  }
  const settings = resolveOptions(options, model.config);
  return { rows: makeRows([ids], settings), settings };
}

const ONLY_GENERATE: ReadonlySet<string> = new Set<keyof GenerateOptions>([
  ...(['numReturnSequences', 'returnState', 'padTokenId', 'logProbs'] as const),
  ...(['numBeams', 'lengthPenalty', 'earlyStopping'] as const),
]);

async function* tokens(
  model: GenerationModel,
  rows: readonly Row[],
  settings: Settings,
): AsyncGenerator<number, GenerateResult, void> {
  for await (const _ of generationLoop(model, rows, settings)) {
    yield rows[0]?.sequence.at(-1) ?? -1;
  }
  return collect(rows, settings);
}
