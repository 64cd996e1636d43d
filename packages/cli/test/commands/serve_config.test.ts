// `rene serve --config FILE`, and further models on the command line.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { Command } from 'commander';
import { applyConfigFile } from '../../src/commands/config_file.js';
import { modelFolder } from '../../src/commands/load.js';
import { furtherModels, modelPool, splitName } from '../../src/commands/model_pool.js';
import { addServe, type ServeOptions } from '../../src/commands/serve_options.js';
import { startServingModel } from '../../src/commands/serving_model.js';
import { runInProcess } from '../run_in_process.js';

describe('options of rene serve', () => {
  const folder = temporaryFolders();

  /** The options of a command line with a config file. */
  async function optionsOf(args: readonly string[], config?: unknown): Promise<ServeOptions> {
    const path = join(folder(), 'config.json');
    writeFileSync(path, typeof config === 'string' ? config : JSON.stringify(config ?? {}));
    const command = addServe(new Command()).exitOverride();
    command.parseOptions([...args]);
    await applyConfigFile(command, path);
    return command.opts<ServeOptions>();
  }

  it('come from the file where the command line has none', async () => {
    const config = {
      port: 8123,
      host: '0.0.0.0',
      'api-key': ['a', 'b'],
      'cors-origin': 'https://x.example, https://y.example',
      max_waiting: 7,
      maxBatch: 5,
      log: true,
      dtype: 'int8',
      'add-model': ['one=./one'],
      'prefix-cache-dir': '/var/states',
    };
    const options = await optionsOf(['--host', '127.0.0.2', '--max-length', '99'], config);
    expect(options).to.deep.include({
      port: 8123,
      host: '127.0.0.2',
      apiKey: ['a', 'b'],
      corsOrigin: ['https://x.example', 'https://y.example'],
      maxWaiting: 7,
      maxBatch: 5,
      maxLength: 99,
      log: true,
      dtype: 'int8',
      addModel: ['one=./one'],
      prefixCacheDir: '/var/states',
    });
  });

  it('are checked as those of the command line', async () => {
    const cases: [config: unknown, message: RegExp][] = [
      ['{', /config\.json: not JSON/],
      [[1], /expected a JSON object of options/],
      [{ prot: 1 }, /there is no option 'prot'/],
      [{ config: 'x' }, /there is no option 'config'/],
      [{ port: 70_000 }, /port: found '70000'.*0 to 65535/],
      [{ log: 'yes' }, /log: expected true or false, found "yes"/],
      [{ host: { a: 1 } }, /host: expected a text or a number, found \{"a":1\}/],
      [{ host: ['a', 'b'] }, /host: expected a text or a number/],
      [{ 'api-key': [['a']] }, /api-key: expected a text or a list of texts, found a list$/],
      [{ 'api-key': { secret: 1 } }, /api-key: expected a text or a list of texts, found object$/],
      [{ dtype: 'int7' }, /dtype: found 'int7'/],
    ];
    for (const [config, message] of cases) {
      const error: unknown = await optionsOf([], config).catch((e) => e);
      expect(error, JSON.stringify(config)).to.have.property('name', 'UsageError');
      expect(String(error)).to.match(message);
    }
    const none = await runInProcess(['serve', '--config', '/nowhere/config.json']);
    expect(none.code).to.equal(1);
    expect(none.stderr).to.match(/^error: \/nowhere\/config\.json: cannot be read/);
  });

  it('name further models once, each within the bound', async () => {
    expect(splitName('shy=./dir=1')).to.deep.equal({ name: 'shy', value: './dir=1' });
    expect(splitName('./dir')).to.deep.equal({ name: undefined, value: './dir' });
    expect(splitName('https://h/a?b=c')).to.include({ name: undefined });
    const main = { model: 'rene-tiny', name: 'main' };
    const refused = async (options: object, lora: string[] = []) => {
      const all = { ...(await optionsOf([])), lora, ...options };
      const error: unknown = await furtherModels(main, all).catch((e) => e);
      return String(error);
    };
    expect(await refused({}, ['main=./a'])).to.match(/each model's name once, found 'main' twice/);
    expect(await refused({ addModel: ['a=rene-tiny'] }, ['a=./a'])).to.match(/'a' twice/);
    expect(await refused({ addModel: ['rene-tiny'] })).to.match(/expected NAME=MODEL/);
    const tooLarge = { modelsBytes: 5, addModel: ['a=rene-tiny'] };
    expect(await refused(tooLarge)).to.match(/'a' needs about \d+ MiB/);
    expect(await refused({}, ['a=/nowhere/a']), 'at once').to.match(/nowhere\/a: .*LoRA adapter/);
    const { models } = await furtherModels(main, await optionsOf(['--lora', './a']));
    expect(models).to.deep.equal([]);
  });

  it('count what an adapter adds to the model', async () => {
    const data = fileURLToPath(new URL('../../../../rene/test/lora/data/', import.meta.url));
    const bytesOf = async (lora: string[], others: object = {}) => {
      const options = { ...(await optionsOf([])), lora, modelsBytes: 1e9, ...others };
      const { models } = await furtherModels({ model: `${data}base`, name: 'base' }, options);
      return models.map(({ bytes }) => bytes);
    };
    // The matrices of three layers' projections, 672 values in all.
    expect(await bytesOf([`a=${data}some_layers`], { dtype: 'f32' })).to.deep.equal([4 * 672]);
    expect(await bytesOf([`a=${data}some_layers`], { dtype: 'bf16' })).to.deep.equal([2 * 672]);
    const both = [`a=${data}some_layers`, `b=${data}plain`];
    expect(await bytesOf(both, { dtype: 'f32' })).to.deep.equal([4 * 672, 4 * 1472]);
    // What the adapter of the main model changes cannot be shared.
    const changed = [`a=${data}some_layers`, `${data}plain`];
    expect(await bytesOf(changed, { dtype: 'f32' })).to.deep.equal([4 * 1472]);
  });

  it('load a further model from its folder', async () => {
    const dir = await modelFolder(undefined);
    const options = { ...(await optionsOf([])), addModel: [`copy=${dir}`], backend: 'simd' };
    const further = await furtherModels({ model: 'rene-tiny', name: 'main' }, options);
    const main = await startServingModel('rene-tiny', { backend: 'simd' });
    const pool = modelPool(further, main);
    const tokens: number[] = [];
    await pool?.use('copy', async ({ engine, modelName }) => {
      expect(modelName).to.equal('copy');
      const job = { prompt: [5, 6], n: 1, maxTokens: 3, temperature: 0, topP: 1, stop: [] };
      await new Promise<void>((resolve) => {
        engine.submit(job, (event) => {
          if (event.type === 'token') tokens.push(event.id);
          if (event.type === 'end') resolve();
        });
      });
    });
    await Promise.all([pool?.close(), main.engine.close(), main.encoder.close()]);
    expect(tokens).to.have.length(3);
  });
});
