import { spawn } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ReneLMHeadModel, reneConfig } from '@rene-js/rene';
import { configToJson, openCheckpoint, withRunFolder } from '@rene-js/rene/internal';
import { expect } from 'chai';
import { Command } from 'commander';
import { runTrain } from '../../src/commands/train.js';
import { addTrain } from '../../src/commands/train_options.js';

const bin = fileURLToPath(new URL('../../../bin/rene.js', import.meta.url));

const SENTENCES = ['A cat is a small animal.', 'A dog is an animal that barks.', 'Cats purr.'];

/** Runs `rene train` silently in this process. */
async function rene(...args: string[]): Promise<string> {
  const program = new Command().exitOverride().configureOutput({ writeErr: () => {} });
  addTrain(program).action(runTrain);
  const write = process.stderr.write;
  let printed = '';
  process.stderr.write = (text: string | Uint8Array) => {
    printed += text;
    return true;
  };
  try {
    await program.parseAsync(['node', 'rene', 'train', '--backend', 'cpu', ...args]);
  } finally {
    process.stderr.write = write;
  }
  return printed;
}

describe('rene train', function () {
  this.timeout(120_000);
  let dir = '';
  let data = '';
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rene-train-command-'));
    data = `${dir}/data.txt`;
    const lines = Array.from({ length: 90 }, (_, i) => SENTENCES[i % SENTENCES.length] ?? '');
    await writeFile(data, lines.join('\n'));
    const config = reneConfig({
      dModel: 16,
      nLayer: 2,
      vocabSize: 280,
      padVocabSizeMultiple: 8,
      ssm: { dState: 4, headDim: 8, chunkSize: 8 },
      mlpLayerIdx: [1],
      eosTokenId: 0,
      padTokenId: 1,
    });
    await writeFile(`${dir}/config.json`, JSON.stringify(configToJson(config)));
  });
  after(() => rm(dir, { recursive: true }));

  const sizes = ['--batch-size', '4', '--row-length', '16', '--vocab-size', '280'];

  it('trains a new model with its own tokenizer, which loads', async () => {
    const out = `${dir}/new`;
    const what = ['--data', data, '--out', out, '--config', dir, '--save-dtype', 'bf16'];
    const args = [...what, '--steps', '6', '--keep', 'last', ...sizes];
    expect(await rene(...args)).to.match(
      /tokens to train on.*done: .* bits per byte; the last model is saved in/s,
    );
    expect(await readdir(out)).to.have.members([
      'config.json',
      'loss.csv',
      'loss.svg',
      'model.safetensors',
      'tokenizer.json',
      'training_state.safetensors',
    ]);
    // The run is finished: nothing is repeated.
    const curve = await readFile(`${out}/loss.csv`, 'utf8');
    await rene(...args);
    expect(await readFile(`${out}/loss.csv`, 'utf8')).to.equal(curve);
    const model = await ReneLMHeadModel.fromPretrained(out, { backend: 'cpu' });
    expect(model.config.vocabSize).to.equal(280);
    const checkpoint = await openCheckpoint(out);
    expect(checkpoint.info('backbone.embedding.weight').dtype).to.equal('BF16');
    await checkpoint.close();
    model.dispose();
  });

  it('fine-tunes with LoRA and merges', async () => {
    const [out, merged] = [`${dir}/lora`, `${dir}/merged`];
    const what = ['--data', data, '--out', out, '--model', `${dir}/new`, '--lora'];
    await rene(...what, '--lora-rank', '2', '--merge', merged, '--steps', '4', ...sizes);
    expect(await readdir(out)).to.include.members([
      'adapter_config.json',
      'adapter_model.safetensors',
    ]);
    expect(await readdir(merged)).to.have.members([
      'config.json',
      'model.safetensors',
      'tokenizer.json',
    ]);
  });

  /** The error of a command that must write nothing. */
  async function failure(...args: string[]): Promise<string> {
    const error = await rene('--out', `${dir}/x`, ...args).then(
      () => 'it did not fail',
      (thrown: Error) => thrown.message,
    );
    expect(existsSync(`${dir}/x`), error).to.equal(false);
    return error;
  }

  it('reads documents from other formats than text', async () => {
    const rows = SENTENCES.map((body, i) => JSON.stringify({ i, body }));
    await writeFile(`${dir}/rows.jsonl`, Array(30).fill(rows.join('\n')).join('\n'));
    const what = ['--data', `${dir}/rows.jsonl`, '--config', dir, '--steps', '1', ...sizes];
    expect(await failure(...what)).to.match(/found the fields "i", "body".*--text-field/);
    const tokens = (printed: string) => /^([\d,]+ tokens to train on.*)$/m.exec(printed)?.[1];
    const fromRows = await rene(...what, '--text-field', 'body', '--out', `${dir}/rows`);
    const lines = ['--data', data, '--config', dir, '--steps', '1', ...sizes];
    expect(tokens(fromRows)).to.equal(tokens(await rene(...lines, '--out', `${dir}/lines`)));
    expect(await readFile(`${dir}/rows/tokenizer.json`, 'utf8')).to.equal(
      await readFile(`${dir}/lines/tokenizer.json`, 'utf8'),
    );
  });

  it('leaves no tokenizer of a failed run for the next one', async () => {
    const out = `${dir}/again`;
    const run = (text: string, ...more: string[]) =>
      rene('--data', text, '--out', out, '--config', dir, '--steps', '1', ...sizes, ...more);
    await writeFile(`${dir}/other.txt`, 'xyz zyx\nyxz xzy\n'.repeat(40));
    const wild = ['--learning-rate', '1e30', '--clip-norm', '1e30', '--steps', '9'];
    const error = await run(`${dir}/other.txt`, ...wild, '--warmup-steps', '0').then(
      () => '',
      (thrown: Error) => thrown.message,
    );
    expect(error).to.match(/diverged.*Start again with a lower/);
    expect(await readdir(out)).to.deep.equal(['loss.csv']);
    await run(data);
    expect(await readFile(`${out}/tokenizer.json`, 'utf8')).to.equal(
      await readFile(`${dir}/lines/tokenizer.json`, 'utf8'),
    );
  });

  it('accepts the included model and its tokenizer by name', async () => {
    const out = `${dir}/tiny`;
    const what = ['--data', data, '--out', out, '--model', 'rene-tiny', '--lora', '--steps', '1'];
    await rene(...what, '--batch-size', '2', '--row-length', '16', '--backend', 'simd');
    const tiny = new URL('../../../../rene/models/rene-tiny/tokenizer.json', import.meta.url);
    expect(await readFile(`${out}/tokenizer.json`, 'utf8')).to.equal(await readFile(tiny, 'utf8'));
    // ... and its tokenizer alone, for a new model.
    await mkdir(`${dir}/own`);
    await writeFile(`${dir}/own/tokenizer.json`, await readFile(`${dir}/lines/tokenizer.json`));
    await writeFile(`${dir}/own/tokenizer_config.json`, '{"eos_token": "<|endoftext|>"}');
    const own = ['--config', dir, '--tokenizer', `${dir}/own`, '--steps', '1', ...sizes];
    await rene('--data', data, '--out', `${dir}/with-own`, ...own);
    expect(await readFile(`${dir}/with-own/tokenizer_config.json`, 'utf8')).to.contain('eos_token');
    const named = ['--config', dir, '--tokenizer', 'rene-tiny', ...sizes];
    expect(await failure('--data', data, ...named)).to.match(
      /vocab_size: expected at least the tokenizer's 8192, found 280/,
    );
  });

  it('never overwrites a model', async () => {
    const model = `${dir}/lines`;
    const digest = async (path: string) => (await readFile(path)).toString('base64');
    const before = await digest(`${model}/model.safetensors`);
    const what = ['--data', data, '--model', model, ...sizes, '--steps', '1'];
    const refusal = (...args: string[]) =>
      rene(...what, ...args).then(
        () => 'it was not refused',
        (error: Error) => error.message,
      );
    expect(await refusal('--out', `${dir}/rows/../lines`)).to.match(
      /--out: .* is the folder of --model/,
    );
    const lora = ['--lora', '--out', `${dir}/x`, '--merge'];
    expect(await refusal(...lora, model)).to.match(/--merge: .* --model or --out/);
    expect(await refusal(...lora, `${dir}/x`)).to.match(/--merge: .* --model or --out/);
    expect(await refusal(...lora, `${dir}/rows`)).to.match(
      /rows: it already contains a model \(config\.json.*--force/,
    );
    await mkdir(`${dir}/foreign`);
    await writeFile(`${dir}/foreign/model.safetensors`, 'weights');
    expect(await refusal('--out', 'rene-tiny')).to.match(/would hide the model that is included/);
    expect(await refusal('--out', `${dir}/foreign`)).to.match(/no training run/);
    expect(await digest(`${model}/model.safetensors`)).to.equal(before);
    expect(await readFile(`${dir}/foreign/model.safetensors`, 'utf8')).to.equal('weights');
    expect(existsSync(`${dir}/x`)).to.equal(false);
  });

  it('reports missing and contradictory options, and writes nothing', async () => {
    expect(await failure('--config', 'tiny')).to.match(/--data/);
    expect(await failure('--data', data)).to.match(/expected --model DIR .* or --config tiny/);
    expect(await failure('--data', data, '--config', 'tiny', '--lora')).to.match(/--model/);
    expect(await failure('--data', `${dir}/none.txt`, '--config', 'tiny')).to.match(/none\.txt/);
    expect(await failure('--data', data, '--config', dir, '--steps', '0')).to.match(/from 1/);
    expect(await failure('--data', data, '--model', dir)).to.match(/no .*tokenizer\.json/);
    const model = ['--data', data, '--config', dir];
    expect(await failure(...model, '--batch-size', '500')).to.match(
      /has \d+ rows of 128 tokens, fewer than one batch of 500: use more text, or a smaller batch/,
    );
    expect(await failure(...model, '--batch-size', '4', '--accumulate', '3')).to.match(
      /^--accumulate: expected a divisor of 4, found 3/,
    );
    expect(await failure(...model, '--held-out', '7')).to.match(/^--held-out: expected between/);
    expect(await failure('--data', dir, '--config', dir)).to.match(/a folder, expected a file/);
    await mkdir(`${dir}/busy`);
    await withRunFolder(`${dir}/busy`, async () => {
      const there = ['--config', dir, '--out', `${dir}/busy`, '--data', `${dir}/none.txt`];
      // Before the text is read, which may take long.
      expect(await failure(...there)).to.match(/busy: process \d+ is training there/);
      expect(await readdir(`${dir}/busy`)).to.deep.equal(['training.lock']);
    });
    await writeFile(`${dir}/one.txt`, 'One line alone.');
    expect(await failure('--data', `${dir}/one.txt`, '--config', dir)).to.match(
      /at least two documents.*--validation/,
    );
    const under = ['--config', dir, '--data', data, '--out', `${data}/run`];
    expect(await failure(...under)).to.match(/data\.txt\/run: cannot be written: .*ENOTDIR/);
  });

  for (const [signal, code] of [
    ['SIGTERM', 143],
    ['SIGHUP', 129],
  ] as const) {
    it(`saves and ends on ${signal}; the same command resumes`, async () => {
      const out = `${dir}/${signal}`;
      const what = ['--data', data, '--out', out, '--config', dir, ...sizes];
      const long = [
        '--steps',
        '100000',
        '--evaluate-every',
        '1000000',
        '--checkpoint-every',
        '1000000',
      ];
      const child = spawn(process.execPath, [bin, 'train', '--backend', 'cpu', ...what, ...long]);
      let printed = '';
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        if (/^step 1\//m.test(text)) child.kill(signal);
        printed += text;
      });
      const late = setTimeout(() => child.kill('SIGKILL'), 60_000);
      const ended = await new Promise((resolve) => child.once('exit', resolve));
      clearTimeout(late);
      expect(ended, printed).to.equal(code);
      const [, step] = /stopped after step (\d+); run the same command again/.exec(printed) ?? [];
      expect(await readdir(out)).to.have.members([
        'loss.csv',
        'loss.svg',
        'tokenizer.json',
        'training_state.safetensors',
      ]);
      // More steps than were done, with another default warm-up.
      const more = String(Number(step) + 1);
      expect(await rene(...what, '--steps', more, '--warmup-steps', '100')).to.contain(
        `step ${more}/${more}`,
      );
    });
  }
});
