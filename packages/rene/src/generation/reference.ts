// The originals' generate(), reproduced exactly, to verify ids.
import type { GenerationModel } from './generation_model.js';
import { generationLoop, makeSequences } from './loop.js';
import { resolveOptions } from './resolve_options.js';

/** Arguments, named as in generate.json. */
export interface ReferenceGenerateArgs {
  max_length: number;
  eos_token_id?: number | null;
  repetition_penalty?: number;
}

/**
 * Greedy generation as in mamba_ssm: all rows end together, when each emits the end of text in the same
 * step; padding ids can occur; there is always one new token.
 *
 * @param ids rows of equal length
 * @returns prompt and new tokens of each row
 */
export async function generateReference(
  model: GenerationModel,
  ids: readonly (readonly number[])[],
  args: ReferenceGenerateArgs,
): Promise<number[][]> {
  const options = {
    maxLength: args.max_length,
    eosTokenId: args.eos_token_id ?? null,
    repetitionPenalty: args.repetition_penalty ?? 1,
  };
  const config = {
    ...resolveOptions(options, model.config),
    vocabSize: model.config.paddedVocabSize,
    stopTogether: true,
  };
  const sequences = makeSequences(ids, config);
  for await (const _ of generationLoop(model, sequences, config));
  return sequences.map((sequence) => sequence.ids);
}
