// Tokenizers of models that are published without one.
import { asRecord } from '../json.js';
import { isRepoId } from './model_names.js';

/** The tokenizer with which Rene and state-spaces' models were trained. */
const OLMO = { id: 'allenai/OLMo-1B-hf', vocabSize: 50280 };
const GPT_NEOX = { id: 'EleutherAI/gpt-neox-20b', vocabSize: 50277 };

/**
 * The hub id of the tokenizer with which a model was trained; undefined if unknown.
 *
 * @param config its config.json
 * @param mlx the metadata of a cartesia-mlx model
 */
export function authorsTokenizer(
  config: unknown,
  mlx?: ReadonlyMap<string, string>,
): string | undefined {
  const named = /^"([^"]+)"$/.exec(mlx?.get('tokenizer.name') ?? '')?.[1];
  if (named !== undefined && isRepoId(named)) return named;
  if (mlx) return OLMO.id;
  const { model_type: type, vocab_size: size } = asRecord(config) ?? {};
  const { id, vocabSize } = type === undefined ? GPT_NEOX : OLMO;
  return typeof size === 'number' && size >= vocabSize ? id : undefined;
}

/** The tokenizer for a hub id whose repository has neither tokenizer nor configuration. */
export function ownersTokenizer(id: string): string | undefined {
  if (id.startsWith('cartesia-ai/')) return OLMO.id;
  return id.startsWith('state-spaces/') ? GPT_NEOX.id : undefined;
}
