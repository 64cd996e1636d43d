// The adapter for transformers.js, tested with the library if it is installed: a small GPT-2 as ONNX
// (tiny_gpt2.py), compared with NumPy's results for the same weights.
import { cp, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { errorOf, runRene, temporaryFolders, tinyByteLevelJson } from '@rene-js/testing';
import { expect } from 'chai';
import { TransformersModel } from '../../src/evaluation/adapters/transformers_js.js';
import { EvaluationError } from '../../src/evaluation/errors.js';
import type { Loglikelihood } from '../../src/evaluation/metrics.js';
import type { TokenRequest } from '../../src/evaluation/requests.js';

const stored = fileURLToPath(new URL('../../../test/evaluation/tiny-gpt2', import.meta.url));

function isInstalled(): boolean {
  try {
    import.meta.resolve('@huggingface/transformers');
    return true;
  } catch {
    return false;
  }
}

describe('the transformers.js adapter', () => {
  const folder = temporaryFolders();
  let dir: string;
  before(async () => {
    dir = join(folder(), 'tiny-gpt2');
    await cp(stored, dir, { recursive: true });
    const files = {
      'tokenizer.json': tinyByteLevelJson(),
      'tokenizer_config.json': {
        tokenizer_class: 'GPT2Tokenizer',
        eos_token: '<|endoftext|>',
      },
      'generation_config.json': {},
    };
    for (const [name, json] of Object.entries(files)) {
      await writeFile(join(dir, name), JSON.stringify(json));
    }
  });

  it('reports that the library is not installed', async function () {
    if (isInstalled()) this.skip();
    const error = await errorOf(EvaluationError, () => TransformersModel.load(dir, {}));
    expect(error.message).to.contain('npm install @huggingface/transformers');
  });

  for (const batchSize of [1, 5]) {
    it(`computes the log-likelihoods of the definition, batch size ${batchSize}`, async function () {
      if (!isInstalled()) this.skip();
      const cases: (TokenRequest & Loglikelihood)[] = JSON.parse(
        await readFile(join(dir, 'expected.json'), 'utf8'),
      );
      const model = await TransformersModel.load(dir, { dtype: 'fp32', batchSize });
      const seen = new Map<number, Loglikelihood>();
      const found = await model.loglikelihoods(cases, {
        onResult: (index, result) => seen.set(index, result),
      });
      await model.dispose();
      for (const [i, { loglikelihood, isGreedy }] of cases.entries()) {
        expect(found[i]?.loglikelihood).to.be.closeTo(loglikelihood, 1e-4);
        expect(found[i]?.isGreedy).to.equal(isGreedy);
        expect(seen.get(i)).to.equal(found[i]);
      }
    });
  }

  it("uses the model's length and end of text", async function () {
    if (!isInstalled()) this.skip();
    const model = await TransformersModel.load(dir, { dtype: 'fp32' });
    const shorter = await TransformersModel.load(dir, { dtype: 'fp32', maxLength: 20 });
    expect([model.maxLength, shorter.maxLength]).to.deep.equal([48, 20]);
    const end = model.prefixTokenId;
    expect(model.tokenize('<|endoftext|>')).to.deep.equal([end]);
    for (const each of [model, shorter]) await each.dispose();
  });

  it('rene eval evaluates such a model', async function () {
    if (!isInstalled()) this.skip();
    const docs = join(dir, 'copa.jsonl');
    const doc = { premise: 'It rained.', question: 'effect', choice1: 'a', choice2: 'b', label: 1 };
    await writeFile(docs, `${JSON.stringify({ ...doc, idx: 0 })}\n`);
    const args = ['--model', 'transformers.js', '--model_args', `pretrained=${dir},dtype=fp32`];
    const { code, stdout, stderr } = await runRene(
      ['eval', ...args, '--tasks', 'copa', '--docs', docs],
      { env: { XDG_CACHE_HOME: folder() } },
    );
    expect(stderr).not.to.match(/error/);
    expect(stdout).to.match(/\|\s*copa\s*\|/);
    expect(code).to.equal(0);
  });
});
