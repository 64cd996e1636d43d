// Whether a tokenizer can be that of a model, by the sizes of their vocabularies.
import type { ModelConfig } from '../architectures/model_config.js';
import type { Tokenizer } from '../tokenizer.js';

/** Vocabularies are often padded by a few ids. */
const MOST_PADDING = 0.01;

/**
 * A notice if a tokenizer seems to belong to another model.
 *
 * @returns undefined if they match
 */
export function vocabularyNotice(
  tokenizer: Pick<Tokenizer, 'vocabSize'>,
  { vocabSize, paddedVocabSize }: Pick<ModelConfig, 'vocabSize' | 'paddedVocabSize'>,
): string | undefined {
  const found = `the tokenizer has ${tokenizer.vocabSize} token ids, the model ${vocabSize}`;
  if (tokenizer.vocabSize > paddedVocabSize) {
    return `${found}: it is not the model's own, and text may become ids that the model lacks`;
  }
  if (tokenizer.vocabSize >= vocabSize * (1 - MOST_PADDING)) return undefined;
  return `${found}: is it the model's own? Ids that it lacks have no text`;
}
