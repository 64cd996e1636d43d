// rene-tiny in a page on GPU backends, over SwiftShader: 'webgpu' of our own, and tfjs's 'webgl'.
import { join } from 'node:path';
import { defaultTolerances, passed } from '@rene-js/cli/internal';
import { expect } from 'chai';
import { esbuildBuild } from '../harness/bundlers.js';
import { useSoftwareGpu } from '../harness/chromium.js';
import { generateInNode, generateInPage } from '../harness/generate.js';
import { runGpuSuite } from '../harness/gpu_suite.js';
import { repository } from '../harness/project.js';
import { serve } from '../harness/static_server.js';
import { describeInChromium } from '../harness/suite.js';
import { verifyInPage } from '../harness/verify_in_page.js';

const prompt = 'A lighthouse is';
const maxNewTokens = 4;

/**
 * Compiled tests of Node that run in a page as well, and how many each has. RENE_TEST_PAGES=all runs the
 * others too, which take a browser in software minutes.
 */
const testsOfPages = {
  'layers/dist/test/backends/webgpu/sampling': 4,
  'rene/dist/test/model/webgpu_memory': 3,
  ...(process.env.RENE_TEST_PAGES === 'all' && {
    'layers/dist/test/backends/webgpu/ops': 11,
    'layers/dist/test/backends/webgpu/weights': 9,
    'layers/dist/test/backends/webgpu/gradients': 2,
    'layers/dist/test/backends/webgpu/odd_shapes': 12,
    'rene/dist/test/model/webgpu_ahead': 4,
    'rene/dist/test/model/webgpu_failures': 4,
  }),
};

const main = `
import { registerWebGpuBackend, webGpuInfo } from '@rene-js/layers/webgpu';
import { ReneLMHeadModel, streamText, Tokenizer } from '@rene-js/rene';
import '@tensorflow/tfjs-backend-webgl';

registerWebGpuBackend();
globalThis.generate = async (url, prompt, { backend, maxNewTokens }) => {
  const model = await ReneLMHeadModel.fromPretrained(url, { backend });
  const tokenizer = await Tokenizer.fromPretrained(url);
  let text = '';
  for await (const piece of streamText(model, tokenizer, prompt, { maxNewTokens })) text += piece;
  model.dispose();
  // Launches of our kernels: a page on tfjs's own would have none.
  return { text, backend: model.backend, threads: backend === 'webgpu' ? webGpuInfo().launches : 0 };
};
`;

describeInChromium('GPU backends', (suite) => {
  before(useSoftwareGpu);
  let origin = '';
  let close = () => {};
  let expected = '';

  before(async () => {
    const root = await esbuildBuild('split')(
      await suite().projects.add('gpu', { 'main.js': main }),
    );
    const server = await serve(root);
    ({ origin, close } = server);
    expected = await generateInNode(prompt, maxNewTokens);
  });
  after(() => close());

  async function run(backend: string) {
    const call = { model: suite().models.origin, prompt, backend, maxNewTokens };
    const { result, error, messages } = await generateInPage(`${origin}/`, call);
    expect(error, messages.join('\n')).to.equal(undefined);
    return { result, messages };
  }

  it('webgpu generates the text that Node does, without validation errors', async () => {
    const { result, messages } = await run('webgpu');
    expect(result).to.deep.include({ text: expected, backend: 'webgpu' });
    expect(result?.threads).to.be.above(100);
    expect(messages.filter((text) => /validation|invalid|error/i.test(text))).to.deep.equal([]);
  });

  // All goldens take minutes: npm run verify:browser -- goldens.
  it('rene verify passes in a page', async () => {
    const folder = join(repository, 'goldens/hybrids/falcon-h1-norm-tied');
    const options = { tolerances: defaultTolerances, relative: false };
    const names: string[] = [];
    for await (const check of verifyInPage(folder, options, { backend: 'webgpu' })) {
      expect(passed(check), `${check.name}: ${check.error} (${check.detail})`).to.equal(true);
      expect(check.source).to.equal(folder);
      names.push(check.name);
    }
    expect(names).to.have.length(6).and.include.members(['logits', 'decode logits', 'greedy ids']);
  });

  for (const [file, tests] of Object.entries(testsOfPages)) {
    it(`the tests of ${file} pass in a page`, async () => {
      const folder = await suite().projects.add(file.replaceAll('/', '-'), {});
      const { passed, failed, messages } = await runGpuSuite(folder, `packages/${file}.test.js`);
      expect(failed, messages.join('\n')).to.deep.equal([]);
      expect(passed).to.have.length(tests);
    });
  }

  it("tfjs's webgl generates the text that Node does", async () => {
    const { result } = await run('webgl');
    expect(result).to.deep.include({ text: expected, backend: 'webgl' });
  });

  it('auto takes no adapter that is software', async () => {
    const { result } = await run('auto');
    expect(result).to.deep.include({ text: expected, backend: 'simd' });
  });
});
