// The documented fields of vLLM and llama.cpp: offered, refused by name or without effect, as the page says.
import { Tokenizer } from '@rene-js/rene';
import { expect } from 'chai';
import type { FastifyInstance } from 'fastify';
import { modelFolder } from '../../src/commands/load.js';
import { chatSchema } from '../../src/serving/chat_schema.js';
import { completionSchema } from '../../src/serving/completion_schema.js';
import type { Job } from '../../src/serving/job.js';
import { createServer } from '../../src/serving/server.js';
import { pages } from '../documentation/pages.js';
import { instantEngine } from './fake_engines.js';

/** CompletionRequest of vLLM from 0.11 on, with the older guided_* and best_of. */
const VLLM_COMPLETIONS = `model prompt echo frequency_penalty logit_bias logprobs max_tokens n presence_penalty seed
  stop stream stream_options suffix temperature top_p user use_beam_search top_k min_p repetition_penalty
  length_penalty stop_token_ids include_stop_str_in_output ignore_eos min_tokens skip_special_tokens
  spaces_between_special_tokens truncate_prompt_tokens truncation_side allowed_token_ids prompt_logprobs bad_words
  prompt_embeds add_special_tokens response_format structured_outputs priority request_id
  return_tokens_as_token_ids return_token_ids return_token_offsets cache_salt kv_transfer_params
  ec_transfer_params vllm_xargs repetition_detection thinking_token_budget best_of guided_json guided_regex
  guided_choice guided_grammar logits_processors watermarking logprob_token_ids session_id stream_interval
  routed_experts_prompt_start return_mm_kwargs`;
/** What its ChatCompletionRequest has besides. */
const VLLM_CHAT = `messages top_logprobs max_completion_tokens tools tool_choice reasoning_effort include_reasoning
  parallel_tool_calls add_generation_prompt continue_final_message documents chat_template chat_template_kwargs
  media_io_kwargs mm_processor_kwargs return_prompt_text return_assistant_tokens_mask`;
/** The options of POST /completion and of chat completions in the README of llama.cpp's server. */
const LLAMA_CPP = `prompt temperature dynatemp_range dynatemp_exponent top_k top_p min_p n_predict n_indent n_keep
  n_cmpl n_cache_reuse stream stop typical_p repeat_penalty repeat_last_n presence_penalty frequency_penalty
  dry_multiplier dry_base dry_allowed_length dry_penalty_last_n dry_sequence_breakers xtc_probability xtc_threshold
  mirostat mirostat_tau mirostat_eta grammar json_schema seed ignore_eos logit_bias n_probs min_keep
  t_max_predict_ms id_slot cache_prompt return_tokens samplers timings_per_token return_progress
  sse_ping_interval post_sampling_probs response_fields lora reasoning_effort reasoning_format reasoning_control`;

/** Values that are not the default, where 0.5 is not one. */
const VALUES: Readonly<Record<string, unknown>> = {
  user: 'me',
  model: 'rene-tiny',
  prompt: 'The sea',
  messages: [{ role: 'user', content: 'The sea' }],
  stop: ['x'],
  stream: false,
  stream_options: { include_usage: true },
  logit_bias: { 5: 1 },
  stop_token_ids: [5],
  allowed_token_ids: [5, 6],
  top_k: 3,
  seed: 5,
  best_of: 3,
  n: 2,
  n_cmpl: 2,
  max_tokens: 3,
  max_completion_tokens: 3,
  n_predict: 3,
  min_tokens: 2,
  logprobs: 2,
  top_logprobs: 2,
  echo: true,
  ignore_eos: true,
  skip_special_tokens: false,
  add_special_tokens: false,
  add_generation_prompt: false,
  tools: [{ type: 'function', function: { name: 'f' } }],
  documents: [{ text: 'x' }],
  chat_template_kwargs: { a: 1 },
};

describe('documented fields of other servers', () => {
  let app: FastifyInstance;
  let lastJob: Job | undefined;
  const page = pages.find(({ path }) => path === 'docs/guide/request-fields.md');
  const rows = [
    ...(page?.text ?? '').matchAll(/^\| `(\w+)` +\| ([\w., ]+?) +\| ([\w ]+?) +\| (.*)\|$/gm),
  ];
  const here = new Map(rows.map(([, name = '', , status = '']) => [name, status]));

  const inChat = new Set(
    rows.flatMap(([, name = '', , , note = '']) => (/^in chat/.test(note) ? [name] : [])),
  );

  before(async () => {
    const tokenizer = await Tokenizer.fromPretrained(await modelFolder(undefined));
    const engine = instantEngine((job) => {
      lastJob = job;
    });
    const chatTemplate = '{{ messages[0].content }}{{ tools }}{{ documents }}{{ a }}';
    const options = { tokenizer, modelName: 'rene-tiny', vocabSize: 60_000, chatTemplate };
    app = createServer({ ...options, engine });
  });
  after(() => app.close());

  /** @returns the error, or the job */
  const send = async (name: string, value: unknown) => {
    const isChat = inChat.has(name) && !Object.hasOwn(completionSchema.properties, name);
    const input = isChat ? { messages: [{ role: 'user', content: 'A' }] } : { prompt: 'A' };
    const url = isChat ? '/v1/chat/completions' : '/v1/completions';
    const extra = {
      ...(name === 'top_logprobs' && { logprobs: true }),
      ...(name === 'stream_options' && { stream: true }),
      ...(name === 'repeat_last_n' && { repeat_penalty: 1.2 }),
    };
    const payload = { ...input, ...extra, [name]: value };
    const response = await app.inject({ method: 'POST', url, payload });
    const { statusCode: status } = response;
    const error: { param?: string; code?: string } = status === 200 ? {} : response.json().error;
    return { status, error, job: lastJob };
  };

  it('are in the table, each once', () => {
    const documented = [VLLM_COMPLETIONS, VLLM_CHAT, LLAMA_CPP].flatMap((list) =>
      list.split(/\s+/),
    );
    expect([...here.keys()]).to.include.members(documented);
    expect(rows).to.have.length(here.size);
    expect(new Set(here.values())).to.deep.equal(new Set(['offered', 'refused', 'no effect']));
  });

  it('are what the table says', async () => {
    const plain = (await send('user', 'me')).job;
    const plainChat = (await send('documents', null)).job;
    for (const [name, status] of here) {
      const isOwnRoute = name in completionSchema.properties || name in chatSchema.properties;
      const value = Object.hasOwn(VALUES, name) ? VALUES[name] : isOwnRoute ? 0.5 : ['on'];
      const answer = await send(name, name === 'tool_choice' ? 'required' : value);
      const where = `${name}: ${JSON.stringify(answer.error)}`;
      if (status === 'refused') {
        expect(answer, where).to.have.property('status', 400);
        expect(answer.error, where).to.include({ param: name, code: 'unsupported_parameter' });
      } else {
        expect(answer.status, where).to.equal(200);
        if (status === 'no effect') {
          expect(answer.job, where).to.deep.equal(inChat.has(name) ? plainChat : plain);
        } else expect(isOwnRoute, where).to.equal(true);
      }
    }
  });

  it('are refused in chat too', async () => {
    for (const [name, status] of here) {
      if (status !== 'refused' || name === 'repeat_last_n') continue;
      const messages = [{ role: 'user', content: 'A' }];
      const payload = { messages, [name]: name === 'tool_choice' ? 'required' : ['on'] };
      const response = await app.inject({ method: 'POST', url: '/v1/chat/completions', payload });
      expect(response.statusCode, name).to.equal(400);
      expect(response.json().error, name).to.include({ param: name });
    }
  });
});
