// The page's side and the worker's side together, over a MessageChannel in this thread.
import { BackendError, InvalidArgumentError } from '@rene-js/layers';
import { errorOf, golden } from '@rene-js/testing';
import { expect } from 'chai';
import { type LoadedInfo, listen } from '../../src/browser/messages.js';
import { fromWire, toWire, WorkerError } from '../../src/browser/wire_errors.js';
import { serve } from '../../src/browser/worker/serve.js';
import { WorkerClient } from '../../src/browser/worker_client.js';
import { WorkerModel } from '../../src/browser/worker_model.js';
import {
  CheckpointError,
  ConfigError,
  FileError,
  GenerationError,
  HubError,
  TokenizerError,
} from '../../src/errors.js';
import { GenerationAbortedError } from '../../src/generation/abort.js';
import { streamText } from '../../src/generation/stream_text.js';
import { ReneLMHeadModel } from '../../src/rene_model.js';
import { Tokenizer } from '../../src/tokenizer.js';

const reneTiny = new URL('../../../models/rene-tiny', import.meta.url).pathname;
const PROMPT = [5, 17, 31, 44];

/** A worker in this thread. */
function start(): WorkerClient {
  const { port1, port2 } = new MessageChannel();
  serve(port2);
  const client = new WorkerClient({
    postMessage: (message, transfer) =>
      Reflect.apply(port1.postMessage, port1, [message, transfer]),
    terminate: () => port1.close(),
  });
  listen(port1, () => {}); // 'started'
  return client;
}

async function load(name = reneTiny): Promise<WorkerModel> {
  const client = start();
  const settings = { name, backend: 'simd', dtype: undefined, groupSize: undefined };
  try {
    const info = await client.call<LoadedInfo>({
      method: 'load',
      settings: { ...settings, tokenizer: undefined, lora: undefined, hub: {} },
    });
    return new WorkerModel(client, info);
  } catch (error) {
    client.end();
    throw error;
  }
}

describe('a model in a worker', () => {
  let model: WorkerModel;
  let local: ReneLMHeadModel;
  let tokenizer: Tokenizer;

  before(async () => {
    model = await load();
    local = await ReneLMHeadModel.fromPretrained(reneTiny, { backend: 'simd' });
    tokenizer = await Tokenizer.fromPretrained(reneTiny);
  });
  after(() => {
    model.dispose();
    local.dispose();
  });

  it('generates, streams and continues as the model itself does', async () => {
    const options = { maxNewTokens: 6, temperature: 0.8, seed: 3, logProbs: 2 };
    const [theirs, ours] = await Promise.all([
      model.generate([PROMPT, [9, 8]], options),
      local.generate([PROMPT, [9, 8]], options),
    ]);
    expect(theirs).to.deep.equal(ours);
    expect(model.config).to.deep.equal(local.config);

    const ids: number[] = [];
    const pieces: string[] = [];
    for await (const id of model.stream(PROMPT, { maxNewTokens: 30 })) ids.push(id);
    const { sequences } = await local.generate(PROMPT, { maxNewTokens: 30 });
    expect([...PROMPT, ...ids]).to.deep.equal(sequences[0]);
    for await (const piece of model.streamText('A river', { maxNewTokens: 9, stopStrings: 'zzz' }))
      pieces.push(piece);
    let text = '';
    for await (const piece of streamText(local, tokenizer, 'A river', { maxNewTokens: 9 }))
      text += piece;
    expect(pieces.join('')).to.equal(text);
  });

  it('has a tokenizer', async () => {
    const ids = await model.tokenizer.encode('A river');
    expect(ids).to.deep.equal(tokenizer.encode('A river'));
    expect(await model.tokenizer.decode(ids)).to.equal('A river');
    expect(model.tokenizer.eosTokenId).to.equal(tokenizer.eosTokenId);
    await errorOf(TokenizerError, () => model.tokenizer.applyChatTemplate([{ role: 'user' }]));
  });

  it('keeps states, which are continued, gathered and disposed', async () => {
    const state = await model.prefill([PROMPT, [1, 2]]);
    expect(state.positions).to.deep.equal([4, 2]);
    const row = await state.gather([0]);
    const whole = await model.generate([...PROMPT, 7], { maxNewTokens: 4 });
    const more = await model.generate([7], { state: row, maxNewTokens: 4, returnState: true });
    expect(more.sequences[0]?.slice(1)).to.deep.equal(whole.sequences[0]?.slice(5));
    const { state: last } = more;
    expect(last?.positions).to.deep.equal([8]);
    const copy = await last?.clone();
    for (const each of [state, row, last, copy]) each?.dispose();
    await errorOf(GenerationError, () => model.generate([7], { state: row }));
  });

  it('throws the errors of the library, with their fields', async () => {
    const wrong = await errorOf(InvalidArgumentError, () =>
      model.generate(PROMPT, { temperature: -1 }),
    );
    expect(wrong.argument).to.equal('temperature');
    const unknown = { maxNewTokens: 3, max_tokens: 3 };
    await errorOf(InvalidArgumentError, () => model.generate(PROMPT, unknown));
    await errorOf(InvalidArgumentError, () => model.generate([]));
    const logitsProcessor = { maxNewTokens: 3, logitsProcessor: () => {} };
    const refused = await errorOf(InvalidArgumentError, () =>
      model.generate(PROMPT, logitsProcessor),
    );
    expect(refused.message).to.match(/cannot be sent to a worker/);
    await errorOf(TokenizerError, () => load('/no/such/folder'));
    const other = await load(golden('tiny-hybrid')).catch((error: unknown) => error);
    expect(other).to.be.instanceOf(TokenizerError);
  });

  it('ends within a token when it is aborted', async () => {
    const controller = new AbortController();
    const ids: number[] = [];
    const error = await errorOf(GenerationAbortedError, async () => {
      for await (const id of model.stream(PROMPT, { signal: controller.signal })) {
        ids.push(id);
        if (ids.length === 3) controller.abort('enough');
      }
    });
    expect(ids).to.have.length(3);
    expect(error.cause).to.equal('enough');
    // At most the values that are sent ahead.
    expect(error.sequences[0]?.length).to.be.within(4 + 3, 4 + 3 + 9);
    await errorOf(GenerationAbortedError, () =>
      model.generate(PROMPT, { signal: AbortSignal.abort() }),
    );
  });

  it('computes a few tokens ahead of a slow consumer, and ends when that leaves', async () => {
    let told = 0;
    const onProgress = ({ newTokens }: { newTokens: number }) => {
      told = newTokens;
    };
    for await (const _ of model.stream(PROMPT, { maxNewTokens: 100, onProgress })) {
      await new Promise((resolve) => setTimeout(resolve, 200));
      break;
    }
    expect(told).to.be.within(2, 10);
    const again = await model.generate(PROMPT, { maxNewTokens: 2 });
    expect(again.sequences[0]).to.have.length(6);
  });

  it('fails what runs, and what comes later, when it is disposed', async () => {
    const own = await load();
    const running = own.generate(PROMPT, { maxNewTokens: 500 });
    own.dispose();
    const error = await errorOf(WorkerError, () => running);
    expect(error.message).to.match(/was disposed/);
    await errorOf(WorkerError, () => own.generate(PROMPT));
  });
});

describe('errors between page and worker', () => {
  it('keep class, message, fields and causes', () => {
    const errors = [
      new InvalidArgumentError('topK', 'a number', 'a string'),
      new ConfigError('ssm_cfg.headdim', 'a number', 'none', 'config.json'),
      new CheckpointError('bad', ['a', 'b'], { cause: new TypeError('inner') }),
      new TokenizerError('t'),
      new GenerationError('g'),
      new BackendError('b'),
      new HubError('h', { status: 404 }),
      new FileError('f', '/a/b', 'ENOSPC'),
      new WorkerError('w'),
      new RangeError('r'),
    ];
    for (const error of errors) {
      const back = fromWire(structuredClone(toWire(error)));
      expect(back.name).to.equal(error.name);
      expect(back.message).to.equal(error.message);
      expect({ ...back, stack: '' }).to.deep.include({ ...error, stack: '' });
      if (!(error instanceof RangeError)) expect(back).to.be.instanceOf(error.constructor);
    }
    const [, , damaged] = errors;
    expect(fromWire(toWire(damaged)).cause).to.include({ name: 'TypeError', message: 'inner' });
    expect(fromWire(toWire('text')).message).to.equal('text');
  });
});
