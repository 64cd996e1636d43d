// Saving quantised weights, as mlx-lm does.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { disposeParameters, initParameters, useBackend } from '@rene-js/layers';
import { temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { blueprintOf, modelParameters } from '../../src/architectures/index.js';
import { loadParameters } from '../../src/checkpoint/load_parameters.js';
import { openCheckpoint } from '../../src/checkpoint/open_checkpoint.js';
import { readConfig } from '../../src/checkpoint/read_config.js';
import { saveCheckpoint } from '../../src/checkpoint/save_checkpoint.js';
import { configToJson } from '../../src/config_json.js';
import { config } from './mlx_config.js';

describe('saving quantised weights', () => {
  const folder = temporaryFolders();

  it("saves a backend's quantised values, and reads them again bitwise identically", async () => {
    await useBackend('simd');
    const parameters = await initParameters(modelParameters(config), 5, {
      format: 'int4',
      groupSize: 32,
    });
    const dir = folder();
    await saveCheckpoint(dir, blueprintOf(config), parameters, configToJson(config), {
      quantized: true,
    });
    disposeParameters(parameters);
    const json: unknown = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8'));
    expect(json).to.deep.include({ quantization: { group_size: 32, bits: 4 } });
    const saved = await openCheckpoint(dir);
    expect(saved.info('backbone.layers.0.mixer.in_proj.weight').dtype).to.equal('int4');
    const again = folder();
    const loaded = await loadParameters(saved, blueprintOf(config), { format: 'int4' });
    await saveCheckpoint(again, blueprintOf(config), loaded, configToJson(config), {
      quantized: true,
    });
    disposeParameters(loaded);
    await saved.close();
    expect(readFileSync(join(again, 'model.safetensors'))).to.deep.equal(
      readFileSync(join(dir, 'model.safetensors')),
    );
    expect(await readConfig(again)).to.deep.equal(config);
    await useBackend('cpu');
  });

  it('saves matrices with different quantisations, and reads them again', async () => {
    await useBackend('simd');
    const mixed = await initParameters(modelParameters(config), 5, {
      format: 'int8',
      groupSize: 64,
    });
    const others = await initParameters(modelParameters(config), 6, {
      format: 'int4',
      groupSize: 32,
    });
    const name = 'backbone.layers.0.mixer.out_proj.weight';
    const [own, other] = [mixed.get(name), others.get(name)];
    if (own && other) {
      mixed.set(name, other);
      others.set(name, own);
    }
    const dir = folder();
    await saveCheckpoint(dir, blueprintOf(config), mixed, configToJson(config), {
      quantized: true,
    });
    for (const all of [mixed, others]) disposeParameters(all);
    const json: unknown = JSON.parse(readFileSync(join(dir, 'config.json'), 'utf8'));
    const module = name.replace('.weight', '');
    expect(json).to.deep.include({
      quantization: { group_size: 64, bits: 8, [module]: { group_size: 32, bits: 4 } },
    });
    const saved = await openCheckpoint(dir);
    expect(saved.info(name).dtype).to.equal('int4');
    expect(saved.info('backbone.layers.0.mixer.in_proj.weight').dtype).to.equal('int8');
    await saved.close();
    await useBackend('cpu');
  });
});
