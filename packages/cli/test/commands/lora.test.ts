// `--lora` of generate, eval and serve: results of the adapted model, without changes to files.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ReneLMHeadModel, streamText, Tokenizer } from '@rene-js/rene';
import { LoraAdapter } from '@rene-js/rene/training';
import { childEnv, temporaryFolders } from '@rene-js/testing';
import * as tf from '@tensorflow/tfjs-core';
import { expect } from 'chai';
import { runInProcess } from '../run_in_process.js';

const PROMPT = 'A lighthouse is';
const bin = fileURLToPath(new URL('../../../bin/rene.js', import.meta.url));

describe('--lora', () => {
  const folder = temporaryFolders();
  let adapter = '';
  let wanted = '';

  before(async () => {
    adapter = folder();
    const base = await ReneLMHeadModel.fromPretrained('rene-tiny', {
      backend: 'cpu',
      trainable: true,
    });
    const lora = LoraAdapter.create(base, { rank: 2, useRslora: true, targets: ['out_proj'] });
    for (const variable of lora.trainableVariables.values()) {
      tf.tidy(() =>
        variable.assign(
          tf.add(variable, tf.randomUniform(variable.shape, -0.1, 0.1, 'float32', 3)),
        ),
      );
    }
    await lora.save(adapter);
    lora.dispose();
    base.dispose();
    const model = await ReneLMHeadModel.fromPretrained('rene-tiny', {
      backend: 'simd',
      lora: adapter,
    });
    const tokenizer = await Tokenizer.fromPretrained('rene-tiny');
    const pieces = [];
    for await (const piece of streamText(model, tokenizer, PROMPT, { maxNewTokens: 8 })) {
      pieces.push(piece);
    }
    wanted = pieces.join('');
    model.dispose();
  });

  it('generate prints the text of the adapted model', async () => {
    const args = ['generate', PROMPT, '-n', '8', '-q', '--no-echo', '--backend', 'simd'];
    const plain = await runInProcess(args);
    const corrected = await runInProcess([...args, '--lora', adapter]);
    expect(corrected).to.deep.include({ code: 0, stdout: `${wanted}\n`, stderr: '' });
    expect(plain.stdout).not.to.equal(corrected.stdout);
    expect(readdirSync(adapter).sort()).to.deep.equal([
      'adapter_config.json',
      'adapter_model.safetensors',
    ]);
  });

  it('generate names an unsupported option of an adapter', async () => {
    const dir = folder();
    const path = join(adapter, 'adapter_config.json');
    const json = { ...JSON.parse(readFileSync(path, 'utf8')), layer_replication: [[0, 2]] };
    writeFileSync(join(dir, 'adapter_config.json'), JSON.stringify(json));
    const { code, stdout, stderr } = await runInProcess(['generate', PROMPT, '--lora', dir]);
    expect([code, stdout]).to.deep.equal([1, '']);
    expect(stderr).to.match(/adapter_config\.json: layer_replication: expected null/);
  });

  it("eval scores the adapted model, and caches its results separately from the base's", async () => {
    const text = join(folder(), 'text.txt');
    writeFileSync(text, 'A lighthouse is a tower with a light that warns ships of rocks.\n');
    const cache = folder();
    const args = ['eval', '--text', text, '--backend', 'simd', '--json', '--use_cache', cache];
    const outputs = [];
    for (const more of [[], ['--lora', adapter], ['--model_args', `peft=${adapter}`]]) {
      const { code, stdout, stderr } = await runInProcess([...args, ...more]);
      expect(code, stderr).to.equal(0);
      outputs.push(stdout.replace(/"[^"]*(seconds|date|time|peft|model_args)[^"]*":.*/gi, ''));
    }
    expect(outputs[0]).not.to.equal(outputs[1]);
    expect(outputs[2]).to.equal(outputs[1]);
  });

  it('serve answers with the corrected model, also by a name of its own', async () => {
    const config = join(folder(), 'serve.json');
    writeFileSync(config, JSON.stringify({ port: 0, lora: [adapter, `named=${adapter}`] }));
    const child = spawn(process.execPath, [bin, 'serve', '--backend', 'simd', '--config', config], {
      env: childEnv(),
    });
    let said = '';
    const url = await new Promise<string>((resolve, reject) => {
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        said += text;
        const found = /(http:\S+\/v1\/completions) /.exec(said)?.[1];
        if (found !== undefined) resolve(found);
      });
      child.once('exit', () => reject(new Error(said)));
    });
    for (const model of ['rene-tiny', 'named']) {
      const response = await fetch(url, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ model, prompt: PROMPT, max_tokens: 8, temperature: 0 }),
      });
      const answer: { model: string; choices: { text: string }[] } = JSON.parse(
        await response.text(),
      );
      expect(answer.model).to.equal(model);
      expect(answer.choices[0]?.text).to.equal(wanted);
    }
    const ended = once(child, 'exit');
    child.kill('SIGINT');
    expect(await ended).to.deep.equal([0, null]);
  });
});
