// Parts of the worker that few models need: scripts of their own, loaded with the first use. And little memory.
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ReneLMHeadModel, Tokenizer } from '@rene-js/rene';
import { expect } from 'chai';
import { openPage, type TestPage } from '../harness/chromium.js';
import { blank, readyMade, reneTiny, repository } from '../harness/project.js';
import { type StaticServer, serve } from '../harness/static_server.js';
import { describeInChromium } from '../harness/suite.js';

const adapters = join(repository, 'packages/rene/test/lora/data');
const tokenizers = join(repository, 'packages/rene/test/tokenizer/fixtures');
const text = "It's 1234 o'clock, HE'LL say\n\n  naïve";
const template = "{% for m in messages %}<{{ m['role'] }}>{{ m.content | trim }}{% endfor %}";
const messages = [{ role: 'user', content: ' hi ' }];
const beams = { numBeams: 2, maxNewTokens: 5 };

describeInChromium('parts of the worker', () => {
  let folder: string;
  let server: StaticServer;
  let page: TestPage;

  before(async () => {
    folder = await mkdtemp(join(tmpdir(), 'rene-parts-'));
    const { tokenizer } = JSON.parse(await readFile(join(tokenizers, 'gpt4.json'), 'utf8'));
    await writeFile(join(folder, 'tokenizer.json'), JSON.stringify(tokenizer));
    await mkdir(join(folder, 'broken'));
    await writeFile(join(folder, 'broken/config.json'), await readFile(`${reneTiny}/config.json`));
    await writeFile(join(folder, 'broken/pytorch_model.bin'), 'PK and nothing else');
    server = await serve(blank, {
      isolated: true,
      folders: { '/lib/': readyMade, '/tiny/': reneTiny, '/lora/': adapters, '/made/': folder },
    });
    page = await openPage(`${server.origin}/`);
    await page.page.evaluate(async () => {
      const module: string = '/lib/rene.browser.js';
      globalThis.rene = await import(module);
    });
  });
  after(async () => {
    await page?.close();
    server?.close();
    await rm(folder, { recursive: true, force: true });
  });

  const loaded = () =>
    [...server.sent.keys()].filter((path) => /rene\.worker\.\w+\.js$/.test(path)).sort();

  it('are not loaded for rene-tiny, and each with its first use', async () => {
    const plain = await page.page.evaluate(async () => {
      const model = await rene.loadInWorker('/tiny', { backend: 'simd', cache: false });
      const { sequences } = await model.generate([1, 2], { maxNewTokens: 3 });
      model.dispose();
      return sequences[0]?.length;
    });
    expect(plain).to.equal(5);
    expect(loaded()).to.deep.equal([]);

    const found = await page.page.evaluate(
      async ([words, chatTemplate, chat, options]) => {
        const model = await rene.loadInWorker('/lora/base', {
          ...{ backend: 'simd', cache: false, lora: '/lora/all_linear', tokenizer: '/made' },
        });
        const ids = await model.tokenizer.encode(words);
        const prompt = await model.tokenizer.applyChatTemplate(chat, { chatTemplate });
        const { sequences } = await model.generate([3, 1, 4], options);
        model.dispose();
        return { ids, prompt, sequences };
      },
      [text, template, messages, beams] as const,
    );
    const parts = ['beams', 'chat', 'lora', 'regex'].map((name) => `/lib/rene.worker.${name}.js`);
    expect(loaded()).to.deep.equal(parts);
    const tokenizer = await Tokenizer.fromFile(join(folder, 'tokenizer.json'));
    const model = await ReneLMHeadModel.fromPretrained(join(adapters, 'base'), {
      ...{ backend: 'simd', lora: join(adapters, 'all_linear') },
    });
    const { sequences } = await model.generate([3, 1, 4], beams);
    model.dispose();
    expect(found).to.deep.equal({ ids: tokenizer.encode(text), prompt: '<user>hi', sequences });
  });

  it('throw the errors of the library', async () => {
    const error = await page.page.evaluate(async () => {
      const options = { backend: 'simd', cache: false, tokenizer: '/tiny' } as const;
      const error = await rene.loadInWorker('/made/broken', options).catch((reason) => reason);
      return [error instanceof rene.CheckpointError, String(error)] as const;
    });
    expect(error[0], error[1]).to.equal(true);
    expect(error[1]).to.match(/made\/broken\/pytorch_model\.bin/);
    expect(loaded()).to.include('/lib/rene.worker.bin.js');
  });

  it('a worker starts where less than 4 GiB of shared memory is granted, and asks to keep files', async () => {
    const { text: written, asked } = await page.page.evaluate(async () => {
      let asked = 0;
      navigator.storage.persist = async () => {
        asked++;
        return true;
      };
      const small = `
        const { Memory } = WebAssembly;
        WebAssembly.Memory = class extends Memory {
          constructor(limits) {
            if (limits.maximum > 16384) throw new RangeError('refused');
            super(limits);
          }
        };
        await import('${location.origin}/lib/rene.worker.js');`;
      const workerUrl = URL.createObjectURL(new Blob([small], { type: 'text/javascript' }));
      const model = await rene.loadInWorker('/tiny', { backend: 'simd', workerUrl });
      let text = '';
      for await (const piece of model.streamText('A lighthouse is', { maxNewTokens: 4 })) {
        text += piece;
      }
      model.dispose();
      const more = { backend: 'simd', workerUrl, persist: false } as const;
      (await rene.loadInWorker('/tiny', more)).dispose();
      return { text, asked };
    });
    expect(written).to.have.length.above(3);
    expect(asked).to.equal(1);
    const refused = page.messages.filter((line) => line.includes('refuses 4 GiB of shared memory'));
    expect(refused[0]).to.match(/using up to 1 GiB$/);
  });
});
