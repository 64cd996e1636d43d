// The body of POST /v1/completions: its type and its JSON schema.

/** OpenAI's fields; after `user`, those of vLLM, transformers, TGI and llama.cpp that are supported. */
export interface CompletionBody {
  model?: string | null;
  /** Default: the end-of-text token, which begins a document. */
  prompt?: string | string[] | number[] | number[][] | null;
  max_tokens?: number | null;
  temperature?: number | null;
  top_p?: number | null;
  n?: number | null;
  stream?: boolean | null;
  stream_options?: { include_usage?: boolean | null } | null;
  logprobs?: number | null;
  echo?: boolean | null;
  stop?: string | string[] | null;
  presence_penalty?: number | null;
  frequency_penalty?: number | null;
  logit_bias?: Record<string, number> | null;
  seed?: number | null;
  best_of?: number | null;
  user?: string | null;
  max_completion_tokens?: number | null;
  max_new_tokens?: number | null;
  n_predict?: number | null;
  num_return_sequences?: number | null;
  n_cmpl?: number | null;
  do_sample?: boolean | null;
  top_k?: number | null;
  min_p?: number | null;
  typical_p?: number | null;
  epsilon_cutoff?: number | null;
  eta_cutoff?: number | null;
  repetition_penalty?: number | null;
  repeat_penalty?: number | null;
  no_repeat_ngram_size?: number | null;
  bad_words_ids?: number[][] | null;
  min_tokens?: number | null;
  min_new_tokens?: number | null;
  stop_sequences?: string | string[] | null;
  stop_token_ids?: number[] | null;
  allowed_token_ids?: number[] | null;
  ignore_eos?: boolean | null;
  add_special_tokens?: boolean | null;
  skip_special_tokens?: boolean | null;
}

const nullable = (type: string, limits: object = {}) => ({
  anyOf: [{ type, ...limits }, { type: 'null' }],
});
const tokenIds = { type: 'array', items: { type: 'integer', minimum: 0 }, minItems: 1 };
const positive = nullable('integer', { minimum: 1, maximum: 128 });
const penalty = nullable('number', { minimum: 0.01, maximum: 100 });
const stop = {
  anyOf: [
    { type: 'string', maxLength: 1000 },
    { type: 'array', items: { type: 'string', maxLength: 1000 }, maxItems: 16 },
    { type: 'null' },
  ],
};

export const completionSchema = {
  type: 'object',
  maxProperties: 100,
  properties: {
    model: nullable('string'),
    prompt: {
      anyOf: [
        { type: 'string' },
        tokenIds,
        { type: 'array', items: { type: 'string' }, minItems: 1 },
        { type: 'array', items: tokenIds, minItems: 1 },
        { type: 'null' },
      ],
    },
    max_tokens: nullable('integer', { minimum: 0 }),
    temperature: nullable('number', { minimum: 0, maximum: 100 }),
    top_p: nullable('number', { minimum: 0, maximum: 1 }),
    n: positive,
    stream: nullable('boolean'),
    stream_options: nullable('object', { properties: { include_usage: nullable('boolean') } }),
    logprobs: nullable('integer', { minimum: 0, maximum: 20 }),
    echo: nullable('boolean'),
    stop,
    presence_penalty: nullable('number', { minimum: -2, maximum: 2 }),
    frequency_penalty: nullable('number', { minimum: -2, maximum: 2 }),
    logit_bias: nullable('object', {
      additionalProperties: { type: 'number', minimum: -100, maximum: 100 },
      maxProperties: 1024,
    }),
    // Larger JSON numbers are rounded, which would make two seeds equal.
    seed: nullable('integer', {
      minimum: Number.MIN_SAFE_INTEGER,
      maximum: Number.MAX_SAFE_INTEGER,
    }),
    best_of: positive,
    user: nullable('string'),
    max_completion_tokens: nullable('integer', { minimum: 0 }),
    max_new_tokens: nullable('integer', { minimum: 0 }),
    n_predict: nullable('integer', { minimum: -1 }),
    num_return_sequences: positive,
    n_cmpl: positive,
    do_sample: nullable('boolean'),
    top_k: nullable('integer', { minimum: -1 }),
    min_p: nullable('number', { minimum: 0, maximum: 1 }),
    typical_p: nullable('number', { exclusiveMinimum: 0, maximum: 1 }),
    epsilon_cutoff: nullable('number', { minimum: 0, exclusiveMaximum: 1 }),
    eta_cutoff: nullable('number', { minimum: 0, exclusiveMaximum: 1 }),
    repetition_penalty: penalty,
    repeat_penalty: penalty,
    no_repeat_ngram_size: nullable('integer', { minimum: 0 }),
    bad_words_ids: nullable('array', { items: tokenIds, maxItems: 1024 }),
    min_tokens: nullable('integer', { minimum: 0 }),
    min_new_tokens: nullable('integer', { minimum: 0 }),
    stop_sequences: stop,
    stop_token_ids: nullable('array', { items: { type: 'integer', minimum: 0 }, maxItems: 1024 }),
    allowed_token_ids: nullable('array', {
      items: { type: 'integer', minimum: 0 },
      minItems: 1,
      maxItems: 65_536,
    }),
    ignore_eos: nullable('boolean'),
    add_special_tokens: nullable('boolean'),
    skip_special_tokens: nullable('boolean'),
  },
} as const;
