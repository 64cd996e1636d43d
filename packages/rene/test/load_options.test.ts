// Options of loading: unknown options are refused by name, and dtypes accept other libraries' names.
import { InvalidArgumentError } from '@rene-js/layers';
import { errorOf, golden } from '@rene-js/testing';
import { expect } from 'chai';
import * as fc from 'fast-check';
import { weightFormat, weightFormatOrAuto } from '../src/dtype_names.js';
import { ReneLMHeadModel, reneConfig, Tokenizer } from '../src/index.js';

const MODEL = golden('tiny-options');

describe('options of fromPretrained', () => {
  const load = (options: object) =>
    errorOf(InvalidArgumentError, () => ReneLMHeadModel.fromPretrained(MODEL, options));

  it('names our option for another library’s option', async () => {
    const cases: [options: object, message: RegExp][] = [
      [{ torch_dtype: 'bfloat16' }, /options: expected dtype, .* found torch_dtype/],
      [{ on_notice: () => {} }, /expected onNotice, found on_notice/],
      [{ device: 'gpu' }, /expected backend, .* found device/],
      [{ load_in_8bit: true }, /expected dtype: 'int8'/],
      [{ revision: 'main' }, /expected revision inside hub: \{ hub: \{ revision/],
      [{ cache_dir: '/x' }, /cacheDir inside hub/],
      [{ hub: { cachedir: '/x' } }, /hub: expected one of token, .*found cachedir/],
      [{ hub: { cache_dir: '/x' } }, /hub: expected cacheDir, found cache_dir/],
    ];
    for (const [options, message] of cases) {
      expect((await load(options)).message).to.match(message);
    }
  });

  it('refuses values of other types by name, without showing a token', async () => {
    const cases: [options: object, message: string][] = [
      [{ trainable: 'yes' }, "trainable: expected true or false, found 'yes'"],
      [{ groupSize: '32' }, "groupSize: expected a number, found '32'"],
      [{ onProgress: 5 }, 'onProgress: expected a function, found 5'],
      [{ backend: ['simd'] }, "backend: expected a string, found ['simd']"],
      [{ hub: { timeout: '5s' } }, "hub.timeout: expected a number, found '5s'"],
      [{ hub: { offline: 'false' } }, "hub.offline: expected true or false, found 'false'"],
      [{ hub: { token: ['hf_secret'] } }, 'hub.token: expected a string, found object'],
      [{ hub: { signal: null } }, 'hub.signal: expected an object, found null'],
    ];
    for (const [options, message] of cases) {
      expect((await load(options)).message).to.equal(message);
    }
    for (const options of [[], new Map([['dtype', 'int8']]), new Set()]) {
      expect((await load(options)).message).to.match(/^options: expected an object, found /);
    }
  });

  it('refuses any other name before anything is read, also in fromConfig', async () => {
    const config = reneConfig({ nLayer: 1 });
    await fc.assert(
      fc.asyncProperty(fc.string(), fc.anything(), async (name, value) => {
        const known = ['dtype', 'backend', 'groupSize', 'wholeGroups', 'trainable', 'onProgress'];
        fc.pre(![...known, 'onNotice', 'hub', 'lora', 'seed', '__proto__'].includes(name));
        const options = { [name]: value };
        const error = await errorOf(InvalidArgumentError, () =>
          ReneLMHeadModel.fromPretrained('/no/such/folder', options),
        );
        expect(error.message.endsWith(`found ${name}`)).to.equal(true);
        await errorOf(InvalidArgumentError, () => ReneLMHeadModel.fromConfig(config, options));
      }),
    );
  });

  it('accepts every name of a dtype that the backend supports', async () => {
    for (const dtype of ['bfloat16', 'BF16', 'torch.bfloat16'] as const) {
      const model = await ReneLMHeadModel.fromPretrained(MODEL, {
        backend: 'simd',
        ...{ dtype },
      });
      const matrix = model.parameters.get('backbone.embedding.weight');
      expect(matrix).to.include({ format: 'bf16' });
      model.dispose();
    }
    for (const dtype of ['q4f16', 'uint8', 'fp8', 'Q4_K_M', 'int2', '', 8, null, ['f32']]) {
      const error = await load({ dtype });
      expect(error.message).to.match(/^dtype: expected one of f32, bf16, f16, int8, int4/);
    }
  });
});

describe('options of Tokenizer.fromPretrained', () => {
  it('refuse unknown options by name', async () => {
    for (const options of [{ cache_dir: '/x' }, { useFast: true }, { hub: {} }]) {
      const error = await errorOf(InvalidArgumentError, () =>
        Tokenizer.fromPretrained('rene-tiny', Object(options)),
      );
      expect(error.message).to.contain(`found ${Object.keys(options)[0]}`);
    }
    await Tokenizer.fromPretrained('rene-tiny', { offline: true, revision: 'main' });
  });
});

describe('names of dtypes', () => {
  it('mean the same as in the libraries that define them', () => {
    const names: Record<string, string> = {
      f32: 'f32 fp32 float32 float F32 torch.float32 FLOAT32',
      f16: 'f16 fp16 float16 half F16 torch.float16',
      bf16: 'bf16 bfloat16 BF16 torch.bfloat16',
      int8: 'int8 q8 INT8 8bit',
      int4: 'int4 q4 Q4 4bit',
    };
    for (const [format, all] of Object.entries(names)) {
      for (const name of all.split(' ')) expect(weightFormat(name), name).to.equal(format);
    }
    expect(weightFormatOrAuto('AUTO')).to.equal('auto');
    expect(() => weightFormat('auto')).to.throw(InvalidArgumentError);
  });

  it('exclude property names of every object', () => {
    for (const name of ['constructor', 'toString', '__proto__', 'hasOwnProperty']) {
      expect(() => weightFormat(name)).to.throw(InvalidArgumentError, `found '${name}'`);
    }
  });
});
