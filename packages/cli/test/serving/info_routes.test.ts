// Routes that describe the server: metrics, version, ping, props; and base URLs without /v1.

import { Tokenizer } from '@rene-js/rene';
import { packageVersion } from '@rene-js/rene/internal';
import { expect } from 'chai';
import { modelFolder } from '../../src/commands/load.js';
import { createServer } from '../../src/serving/server.js';
import type { ServerOptions } from '../../src/serving/server_options.js';
import { idleEngine, instantEngine } from './fake_engines.js';

describe('routes about the server', () => {
  let tokenizer: Tokenizer;
  before(async () => {
    tokenizer = await Tokenizer.fromPretrained(await modelFolder(undefined));
  });
  const server = (options: Partial<ServerOptions> = {}) =>
    createServer({
      engine: instantEngine(),
      tokenizer,
      modelName: 'rene-tiny',
      vocabSize: 5000,
      ...options,
    });

  it('/metrics counts requests, tokens and times', async () => {
    const app = server();
    const complete = (body: object) =>
      app.inject({ method: 'POST', url: '/v1/completions', payload: body });
    await complete({ prompt: [5, 6, 7], max_tokens: 4, n: 2 });
    await complete({ prompt: [5], max_tokens: 1 });
    await complete({ prompt: [5], max_tokens: -1 });
    for (const url of ['/nowhere/1', '/nowhere/2']) await app.inject(url);
    const response = await app.inject('/metrics');
    expect(response.headers['content-type']).to.match(/^text\/plain; version=0\.0\.4/);
    const lines = response.body.split('\n');
    expect(lines).to.include.members([
      'rene_prompt_tokens_total 4',
      'rene_cached_prompt_tokens_total 0',
      'rene_generated_tokens_total 9',
      'rene_requests_total{route="/v1/completions",status="200"} 2',
      'rene_requests_total{route="/v1/completions",status="400"} 1',
      'rene_requests_total{route="unknown",status="404"} 2',
      'rene_time_to_first_token_seconds_count 3',
      'rene_time_per_output_token_seconds_count 6',
      'rene_request_duration_seconds_count{route="/v1/completions"} 3',
      '# TYPE process_cpu_seconds_total counter',
      'rene_sequences_active 0',
      'rene_sequences_waiting 0',
      'rene_slots 64',
      'rene_prefix_cache_bytes 0',
      `rene_info{version="${packageVersion()}"} 1`,
    ]);
    expect(response.body).to.match(/^process_resident_memory_bytes \d{7,}$/m);
    expect(response.body).to.match(/^# HELP rene_time_to_first_token_seconds \w/m);
    await app.close();
  });

  it('are for everybody or for those with a key', async () => {
    const app = server({ apiKey: 'k' });
    const status = async (url: string) => (await app.inject(url)).statusCode;
    expect(await status('/ping')).to.equal(200);
    for (const url of ['/version', '/props', '/metrics', '/models', '/v1/models']) {
      expect(await status(url), url).to.equal(401);
      const headers = { authorization: 'Bearer k' };
      expect((await app.inject({ url, headers })).statusCode, url).to.equal(200);
    }
    await app.close();
  });

  it('/ping says when the model is lost', async () => {
    const app = server({ engine: { ...idleEngine, downReason: 'lost' } });
    const response = await app.inject('/ping');
    expect(response.statusCode).to.equal(503);
    expect(response.json().error.message).to.equal('lost');
    await app.close();
  });

  it('/version and /props have the fields of vLLM and llama.cpp', async () => {
    const app = server({ maxLength: 300, chatTemplate: '{{ messages }}' });
    expect((await app.inject('/version')).json()).to.deep.equal({ version: packageVersion() });
    const props = (await app.inject('/props')).json();
    expect(props).to.include({
      total_slots: 64,
      model_alias: 'rene-tiny',
      chat_template: '{{ messages }}',
      eos_token: tokenizer.token(tokenizer.eosTokenId ?? 0),
    });
    expect(props.default_generation_settings).to.have.property('n_ctx', 300);
    await app.close();
  });

  it('the base URL may be given without /v1', async () => {
    const app = server({ chatTemplate: '{{ messages[0].content }}' });
    const post = async (url: string, payload: object) => {
      const { statusCode, body } = await app.inject({ method: 'POST', url, payload });
      return { statusCode, object: JSON.parse(body).object };
    };
    expect(await post('/completions', { prompt: 'A' })).to.deep.equal({
      statusCode: 200,
      object: 'text_completion',
    });
    const messages = [{ role: 'user', content: 'A' }];
    expect(await post('/chat/completions?x=1', { messages })).to.deep.equal({
      statusCode: 200,
      object: 'chat.completion',
    });
    expect((await app.inject('/models')).json().data[0].id).to.equal('rene-tiny');
    expect((await app.inject('/models/rene-tiny')).json().id).to.equal('rene-tiny');
    expect((await app.inject('/completionsx')).statusCode).to.equal(404);
    await app.close();
  });
});
