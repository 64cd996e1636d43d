import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect } from 'chai';
import { Command } from 'commander';
import { openCheckpoint } from '../../src/checkpoint/checkpoint.js';
import { addTrain } from '../../src/cli/train.js';
import { configToJson } from '../../src/config.js';
import { ReneLMHeadModel, reneConfig } from '../../src/index.js';

const SENTENCES = ['A cat is a small animal.', 'A dog is an animal that barks.', 'Cats purr.'];

/** `rene train` as the command line runs it, but in this process and silently. */
async function rene(...args: string[]): Promise<string> {
  const program = new Command().exitOverride().configureOutput({ writeErr: () => {} });
  addTrain(program);
  const log = console.error;
  const write = process.stderr.write;
  let printed = '';
  console.error = (line: string) => {
    printed += `${line}\n`;
  };
  process.stderr.write = () => true;
  try {
    await program.parseAsync(['node', 'rene', 'train', '--backend', 'cpu', ...args]);
  } finally {
    console.error = log;
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

  it('trains a new model, with its own tokenizer, that loads', async () => {
    const out = `${dir}/new`;
    const what = ['--data', data, '--out', out, '--config', dir, '--save-dtype', 'bf16'];
    const args = [...what, '--steps', '6', '--keep', 'last', ...sizes];
    expect(await rene(...args)).to.match(
      /tokens to train on.*done: .* bits a byte at best; the last model is saved in/s,
    );
    expect(await readdir(out)).to.have.members([
      'config.json',
      'loss.csv',
      'loss.svg',
      'model.safetensors',
      'tokenizer.json',
      'training_state.safetensors',
    ]);
    // Finished already: nothing is done again.
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

  it('fine-tunes by LoRA and merges', async () => {
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

  it('says what is missing or does not fit', async () => {
    const failure = (...args: string[]) =>
      rene('--out', `${dir}/x`, ...args).then(
        () => 'it did not fail',
        (error: Error) => error.message,
      );
    expect(await failure('--config', 'tiny')).to.match(/--data/);
    expect(await failure('--data', data)).to.match(/expected --model DIR .* or --config tiny/);
    expect(await failure('--data', data, '--config', 'tiny', '--lora')).to.match(/--model/);
    expect(await failure('--data', `${dir}/none.txt`, '--config', 'tiny')).to.match(/none\.txt/);
    expect(await failure('--data', data, '--config', dir, '--steps', '0')).to.match(/from 1/);
    expect(await failure('--data', data, '--model', dir)).to.match(/no .*tokenizer\.json/);
  });
});
