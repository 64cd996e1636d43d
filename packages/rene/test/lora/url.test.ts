// A model, its generation_config.json and its adapter from a web server.
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { useBackend } from '@rene-js/layers';
import { errorOf } from '@rene-js/testing';
import { expect } from 'chai';
import { CheckpointError, ReneLMHeadModel } from '../../src/index.js';
import { WebServer } from '../checkpoint/web_server.js';

const DATA = fileURLToPath(new URL('../../../test/lora/data/', import.meta.url));
const IDS = [[3, 1, 4, 1, 5]];

describe('a model with an adapter on a web server', () => {
  let server: WebServer;
  let origin: string;
  before(async () => {
    await useBackend('cpu');
    const files = new Map<string, Uint8Array>();
    for (const dir of ['base', 'plain', 'old_format']) {
      for (const name of readdirSync(`${DATA}${dir}`)) {
        files.set(`/${dir}/${name}`, readFileSync(`${DATA}${dir}/${name}`));
      }
    }
    const generation = { eos_token_id: [4, 7], do_sample: true, top_k: 3, temperature: 0.9 };
    files.set('/base/generation_config.json', Buffer.from(JSON.stringify(generation)));
    files.set('/empty/adapter_config.json', readFileSync(`${DATA}plain/adapter_config.json`));
    server = new WebServer(files);
    origin = await server.start();
  });
  after(() => server.stop());

  it('computes the same as from folders, with either weights file', async () => {
    const local = await ReneLMHeadModel.fromPretrained(`${DATA}base`, { lora: `${DATA}plain` });
    const expected = [...(await local.forward(IDS).data())];
    local.dispose();
    for (const lora of [
      `${origin}/plain`,
      `${origin}/old_format/`,
      new URL(`${origin}/plain`),
      `${DATA}plain`,
    ]) {
      const model = await ReneLMHeadModel.fromPretrained(`${origin}/base`, { lora });
      expect([...(await model.forward(IDS).data())]).to.deep.equal(expected);
      expect(model.config.eosTokenIds).to.deep.equal([4, 7]);
      expect(model.generationConfig).to.include({ doSample: true, topK: 3, temperature: 0.9 });
      model.dispose();
    }
  });

  it('names the missing file', async () => {
    const load = (name: string) =>
      errorOf(CheckpointError, () =>
        ReneLMHeadModel.fromPretrained(`${DATA}base`, { lora: `${origin}/${name}` }),
      );
    expect((await load('none')).message).to.match(/none\/adapter_config\.json: .*HTTP 404/);
    expect((await load('empty')).message).to.match(/empty\/adapter_model\.safetensors: .*HTTP 404/);
  });
});
