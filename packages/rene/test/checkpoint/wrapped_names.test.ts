// Checkpoints with names changed by training wrappers, and with their buffers, load normally.
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { golden, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { blueprintOf } from '../../src/architectures/index.js';
import { bytesSource } from '../../src/checkpoint/byte_source.js';
import { checkNamesAndShapes } from '../../src/checkpoint/load_parameters.js';
import { checkpointOf, openCheckpoint } from '../../src/checkpoint/open_checkpoint.js';
import { readConfig } from '../../src/checkpoint/read_config.js';
import {
  openSafetensors,
  type TensorToWrite,
  writeSafetensors,
} from '../../src/checkpoint/safetensors.js';
import { modelNames, withoutWrappers } from '../../src/checkpoint/wrapped_names.js';
import { CheckpointError } from '../../src/errors.js';
import { ReneLMHeadModel } from '../../src/index.js';

const MODEL = golden('tiny-options');

/** The bytes of a checkpoint's file with other names, and with additional scalar tensors. */
async function renamed(
  change: (name: string) => string,
  more: readonly string[] = [],
): Promise<Uint8Array> {
  const source = await openCheckpoint(MODEL);
  const tensors = source.names.map((name): TensorToWrite => {
    const { dtype, shape } = source.info(name);
    const bytes = shape.reduce((size, axis) => size * axis, dtype === 'F32' ? 4 : 2);
    return { name: change(name), dtype, shape, bytes: () => source.read(name, 0, bytes) };
  });
  for (const name of more) {
    tensors.push({ name, dtype: 'I64', shape: [1], bytes: () => new Uint8Array(8) });
  }
  const pieces: Uint8Array[] = [];
  await writeSafetensors(tensors, {}, async (bytes) => {
    pieces.push(bytes.slice());
  });
  await source.close();
  return new Uint8Array(Buffer.concat(pieces));
}

async function problemsOf(bytes: Uint8Array): Promise<readonly string[]> {
  const file = await openSafetensors(bytesSource(bytes, 'x'));
  const specs = blueprintOf(await readConfig(MODEL));
  try {
    checkNamesAndShapes(checkpointOf('x', [file]), specs);
    return [];
  } catch (error) {
    if (error instanceof CheckpointError) return error.problems;
    throw error;
  }
}

describe('tensor names in checkpoints', () => {
  const folder = temporaryFolders();

  const wrappers: [what: string, change: (name: string) => string][] = [
    ['DistributedDataParallel', (name) => `module.${name}`],
    ['Lightning', (name) => `model.${name}`],
    ['Lightning over DataParallel', (name) => `model.module.${name}`],
    ['torch.compile', (name) => `_orig_mod.${name}`],
    ['torch.compile of DDP', (name) => `module._orig_mod.${name}`],
    ['a module of a user', (name) => `student.lm.${name}`],
    ['PEFT, merged', (name) => `base_model.model.${name}`],
    [
      'FSDP',
      (name) => `_fsdp_wrapped_module.${name.replace('.mixer.', '._fsdp_wrapped_module.mixer.')}`,
    ],
    [
      'activation checkpointing',
      (name) => name.replace(/(layers\.\d+)\./, '$1._checkpoint_wrapped_module.'),
    ],
    ['blocks that are compiled', (name) => name.replace(/(layers\.\d+)\./, '$1._orig_mod.')],
    ['nobody', (name) => name],
  ];
  for (const [what, change] of wrappers) {
    it(`of ${what}`, async () => {
      expect(await problemsOf(await renamed(change))).to.deep.equal([]);
    });
  }

  it('load the same values, and ignore buffers that wrappers add', async () => {
    const dir = folder();
    const buffers = [
      'module.backbone.layers.1.mixer.rotary_emb.inv_freq',
      'module.backbone.layers.0.num_batches_tracked',
      'n_averaged',
    ];
    writeFileSync(join(dir, 'model.safetensors'), await renamed((n) => `module.${n}`, buffers));
    cpSync(join(MODEL, 'config.json'), join(dir, 'config.json'));
    const ids = [[1, 2, 3, 4, 5]];
    const logits = [];
    for (const from of [MODEL, dir]) {
      const model = await ReneLMHeadModel.fromPretrained(from, { backend: 'cpu' });
      logits.push([...(await model.forward(ids).data())]);
      model.dispose();
    }
    expect(logits[1]).to.deep.equal(logits[0]);
  });

  it('still report unknown, missing and duplicate tensors', async () => {
    const unknown = await problemsOf(await renamed((n) => n, ['backbone.layers.0.mixer.q.weight']));
    expect(unknown).to.deep.equal([
      'backbone.layers.0.mixer.q.weight: unknown to a model of this configuration',
    ]);
    const freq = await problemsOf(
      await renamed((n) => n, ['backbone.inv_freq.weight', 'my_inv_freq']),
    );
    expect(freq).to.have.length(2);
    const half = await problemsOf(
      await renamed((name) => (name.includes('layers.0') ? name : `module.${name}`)),
    );
    expect(half).to.deep.equal([]);
    const ema = ['ema.backbone.embedding.weight', 'ema.backbone.x'];
    expect(String(await problemsOf(await renamed((n) => `model.${n}`, ema)))).to.match(
      /several, under the prefixes 'ema\.', 'model\.'/,
    );
    const twice = ['_orig_mod.backbone.norm_f.weight'];
    expect(String(await problemsOf(await renamed((n) => n, twice)))).to.match(
      /both '.*' and '.*' map to the tensor 'backbone\.norm_f\.weight'/,
    );
  });

  it('can have any common prefix', () => {
    const part = fc.stringMatching(/^[a-z_0-9]{1,8}$/).filter((text) => text !== 'backbone');
    fc.assert(
      fc.property(fc.array(part, { maxLength: 4 }), (parts) => {
        const prefix = parts.map((each) => `${each}.`).join('');
        const own = ['backbone.embedding.weight', 'backbone.layers.0.norm.weight', 'lm_head.bias'];
        const info = { dtype: 'F32', shape: [1] };
        const file = {
          name: 'x',
          metadata: new Map(),
          tensors: new Map(own.map((name) => [prefix + name, info])),
          read: async () => new Uint8Array(0),
          close: async () => {},
        };
        const names = modelNames('x', [file]);
        expect([...names.values()]).to.deep.equal(own);
      }),
    );
    expect(withoutWrappers('a._orig_mod.b._fsdp_wrapped_module.c')).to.equal('a.b.c');
    expect(withoutWrappers('a.orig_mod.b')).to.equal('a.orig_mod.b');
  });
});
