// stream: yields the tokens of one sequence.
import { InvalidArgumentError } from '@rene-js/layers';
import { collect, type GenerateResult } from './generate.js';
import { withGenerationDefaults } from './generation_defaults.js';
import type { GenerationModel } from './generation_model.js';
import { generationLoop, makeSequences } from './loop.js';
import type { GenerateOptions, StreamOptions } from './options.js';
import { toPrompt } from './prompt_ids.js';
import { type GenerationConfig, resolveOptions } from './resolve_options.js';
import type { Sequence } from './sequence.js';

/**
 * Yields each new token's id as soon as it is sampled, end of text included. The generator's return value
 * equals generate's result. Leaving a `for await` early frees everything.
 *
 * @throws InvalidArgumentError at once; GenerationError and GenerationAbortedError while it runs
 */
export function stream(
  model: GenerationModel,
  ids: readonly number[],
  options: StreamOptions = {},
): AsyncGenerator<number, GenerateResult, void> {
  const { sequences, config } = startSequence(model, ids, options);
  return tokens(model, sequences, config);
}

/** The one sequence of a stream. @throws InvalidArgumentError */
export function startSequence(
  model: GenerationModel,
  ids: readonly number[],
  options: StreamOptions,
): { sequences: readonly Sequence[]; config: GenerationConfig } {
  refuseOptionsOfGenerate(options);
  // Beam search cannot stream.
  const defaults = { ...model.generationConfig, numBeams: undefined };
  const config = resolveOptions(withGenerationDefaults(options, defaults), model.config);
  return { sequences: makeSequences([toPrompt(ids)], config), config };
}

/** @throws InvalidArgumentError for options that only generate has */
export function refuseOptionsOfGenerate(options: StreamOptions): void {
  for (const [name, value] of Object.entries(options ?? {})) {
    if (value === undefined || !ONLY_GENERATE.has(name)) continue;
    throw new InvalidArgumentError(
      'options',
      `options of stream (${name} is an option of generate)`,
      name,
    );
  }
}

const ONLY_GENERATE: ReadonlySet<string> = new Set<keyof GenerateOptions>([
  ...(['numReturnSequences', 'returnState', 'padTokenId', 'logProbs'] as const),
  ...(['numBeams', 'lengthPenalty', 'earlyStopping'] as const),
]);

async function* tokens(
  model: GenerationModel,
  sequences: readonly Sequence[],
  config: GenerationConfig,
): AsyncGenerator<number, GenerateResult, void> {
  for await (const _ of generationLoop(model, sequences, config)) {
    yield sequences[0]?.ids.at(-1) ?? -1;
  }
  return collect(sequences, config);
}
