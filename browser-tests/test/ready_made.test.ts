// The ready-made file in a page without a bundler: loading, kept models, aborts, tabs, policies, and a smooth page.
import { expect } from 'chai';
import { closeBrowser, hasChromium, openPage, type TestPage } from '../harness/chromium.js';
import { generateInNode } from '../harness/generate.js';
import { blank, readyMade, reneTiny } from '../harness/project.js';
import { type StaticServer, type StaticServerOptions, serve } from '../harness/static_server.js';

const WEIGHTS = '/models/tiny/model.safetensors';
const SIZE = 6_246_160;
const prompt = 'A lighthouse is';

type Progress = { phase: string; file: string; loaded: number; total?: number; rate: number };

declare global {
  /** The module rene.browser.js. */
  var rene: typeof import('@rene-js/rene/browser');
  /** Told by a page how many bytes of a file have arrived. */
  var arrived: ((loaded: number) => Promise<void>) | undefined;
}

describe('the ready-made file', () => {
  let server: StaticServer;
  const pages: TestPage[] = [];

  before(function () {
    if (!hasChromium) this.skip();
  });
  after(closeBrowser);
  afterEach(async () => {
    for (const page of pages.splice(0)) await page.close();
    server?.close();
  });

  async function start(options: StaticServerOptions = {}): Promise<void> {
    const folders = { '/lib/': readyMade, '/models/tiny/': reneTiny };
    server = await serve(blank, { isolated: true, folders, ...options });
  }

  /** A page that has imported the file from `lib`. */
  async function open(lib = '/lib/', context?: TestPage): Promise<TestPage> {
    const page = await openPage(`${server.origin}/`, context);
    pages.push(page);
    await page.page.evaluate(async (url) => {
      const module: string = `${url}rene.browser.js`;
      globalThis.rene = await import(module);
    }, new URL(lib, server.origin).href);
    return page;
  }

  /** Loads the model and generates; what came of it, or the error as text. */
  const run = ({ page }: TestPage, options: object = {}, url = '/models/tiny') =>
    page.evaluate(
      async ([name, text, more]) => {
        const progress: Progress[] = [];
        const notices: string[] = [];
        const onProgress = (each: Progress) => {
          progress.push(each);
          if (each.phase === 'download') void globalThis.arrived?.(each.loaded);
        };
        const onNotice = (notice: string) => void notices.push(notice);
        try {
          const model = await rene.loadInWorker(name, {
            ...{ backend: 'simd', onProgress, onNotice },
            ...more,
          });
          let out = '';
          for await (const piece of model.streamText(text, { maxNewTokens: 8 })) out += piece;
          model.dispose();
          return { text: out, threads: model.threads, progress, notices };
        } catch (error) {
          return { error: String(error), progress, notices };
        }
      },
      [url, prompt, options] as const,
    );

  const sent = () => server.sent.get(WEIGHTS) ?? 0;

  it('generates what Node does, with progress, and loads without weight bytes the second time', async () => {
    await start();
    const page = await open();
    const first = await run(page);
    expect(first.error, page.messages.join('\n')).to.equal(undefined);
    expect(first.text).to.equal(await generateInNode(prompt, 8));
    expect(first.progress.at(-1)).to.deep.include({ phase: 'pack' });
    const downloads = first.progress.filter(({ phase }) => phase === 'download');
    expect(downloads.at(-1)).to.include({ file: 'model.safetensors', loaded: SIZE, total: SIZE });
    expect(sent()).to.equal(SIZE);
    const later = await open('/lib/', page);
    const again = await run(later);
    expect(again.text).to.equal(first.text);
    expect(sent()).to.equal(SIZE);
    const kept = () => later.page.evaluate(() => rene.listCached());
    expect(await kept()).to.have.length(1);
    expect((await kept())[0]).to.include({ url: `${server.origin}/models/tiny`, isComplete: true });
    await later.page.evaluate(() => rene.deleteCached('/models/tiny'));
    expect(await kept()).to.deep.equal([]);
  });

  it('goes on with a download where it broke', async () => {
    await start();
    const page = await open();
    let loaded = 0;
    await page.page.exposeFunction('arrived', (bytes: number) => {
      loaded = Math.max(loaded, bytes);
    });
    server.hasArrived = (position) => loaded >= position;
    server.cuts.push(2_000_000, 3_500_000);
    const { text, error } = await run(page);
    expect(error, page.messages.join('\n')).to.equal(undefined);
    expect(text).to.have.length.above(5);
    const [first, second, third, ...more] = server.starts;
    expect([first, more]).to.deep.equal([0, []]);
    expect(second).to.be.within(2_000_000, 3_000_000);
    expect(third).to.be.within(3_500_000, 4_500_000);
  });

  it('stops loading when it is aborted, and goes on in the next visit', async () => {
    await start({ bytesPerSecond: 4_000_000 });
    const page = await open();
    const stopped = await page.page.evaluate(async () => {
      const controller = new AbortController();
      const onProgress = ({ loaded }: Progress) => {
        if (loaded > 2_000_000) controller.abort(new Error('enough'));
      };
      const options = { backend: 'simd', onProgress, signal: controller.signal } as const;
      const error = await rene.loadInWorker('/models/tiny', options).catch(String);
      return { error, kept: await rene.listCached() };
    });
    expect(stopped.error).to.equal('Error: enough');
    const bytes = stopped.kept[0]?.bytes ?? 0;
    expect(bytes).to.be.within(2_000_000, SIZE - 1);
    expect(stopped.kept[0]?.isComplete).to.equal(false);
    server.sent.clear();
    const next = await run(page);
    expect(next.error, page.messages.join('\n')).to.equal(undefined);
    expect(sent()).to.be.within(SIZE - bytes, SIZE - bytes + 300_000);
    expect(next.progress.find(({ phase }) => phase === 'download')?.loaded).to.be.above(1_900_000);
  });

  it('reads from the server where the storage is full, and says so', async () => {
    await start();
    const page = await open();
    const session = await page.page.context().newCDPSession(page.page);
    await session.send('Storage.overrideQuotaForOrigin', {
      origin: server.origin,
      quotaSize: 3_000_000,
    });
    const { text, notices, error } = await run(page);
    expect(error, page.messages.join('\n')).to.equal(undefined);
    expect(text).to.have.length.above(5);
    expect(notices.join()).to.match(/model\.safetensors is not kept: /);
  });

  it('downloads once for two tabs at the same time', async () => {
    await start({ bytesPerSecond: 12_000_000 });
    const one = await open();
    const two = await open('/lib/', one);
    const [first, second] = await Promise.all([run(one), run(two)]);
    expect([first.error, second.error]).to.deep.equal([undefined, undefined]);
    expect(second.text).to.equal(first.text);
    expect(sent()).to.equal(SIZE);
  });

  it('keeps the page smooth, ends within a token, and runs several models', async () => {
    await start();
    const page = await open();
    const result = await page.page.evaluate(async () => {
      let [longest, last, isRunning] = [0, performance.now(), true];
      const frame = (now: number) => {
        longest = Math.max(longest, now - last);
        last = now;
        if (isRunning) requestAnimationFrame(frame);
      };
      requestAnimationFrame(frame);
      const load = () => rene.loadInWorker('/models/tiny', { backend: 'simd' });
      const [a, b] = await Promise.all([load(), load()]);
      const ids = Array.from({ length: 600 }, (_, i) => (i * 7) % 8000);
      const [left, right] = await Promise.all([
        a.generate(ids, { maxNewTokens: 5 }),
        b.generate(ids, { maxNewTokens: 5 }),
      ]);
      isRunning = false;
      const controller = new AbortController();
      let after = 0;
      const aborted = await (async () => {
        for await (const _ of a.stream([1], { maxNewTokens: 500, signal: controller.signal })) {
          if (controller.signal.aborted) after++;
          if (after === 0) controller.abort();
        }
      })().catch((error: Error) => error.name);
      const wrong = await a
        .generate([1], { temperature: -1 })
        .catch((error) => error instanceof rene.InvalidArgumentError && error.argument);
      a.dispose();
      const gone = await a.generate([1]).catch((error: Error) => error.name);
      const still = (await b.generate([1], { maxNewTokens: 2 })).sequences;
      b.dispose();
      return { longest, left, right, after, aborted, wrong, gone, still };
    });
    expect(result.left).to.deep.equal(result.right);
    expect(result).to.include({ after: 0, aborted: 'AbortError', wrong: 'temperature' });
    expect(result.gone).to.equal('WorkerError');
    expect(result.still[0]).to.have.length(3);
  });

  it('comes from another origin, such as a CDN', async () => {
    await start();
    const cdn = await serve(readyMade, {});
    try {
      const { text, error } = await run(await open(`${cdn.origin}/`));
      expect(error).to.equal(undefined);
      expect(text).to.have.length.above(5);
    } finally {
      cdn.close();
    }
  });

  const policy = (scripts: string) => ({
    headers: {
      'content-security-policy': `default-src 'self'; script-src ${scripts}; worker-src 'self'`,
    },
  });

  it("runs under a strict Content-Security-Policy, and names 'wasm-unsafe-eval' where it lacks", async () => {
    await start(policy("'self' 'wasm-unsafe-eval'"));
    const good = await run(await open());
    expect(good.error).to.equal(undefined);
    for (const page of pages.splice(0)) await page.close();
    server.close();
    await start(policy("'self'"));
    const bad = await run(await open());
    expect(bad.error).to.match(/^BackendError: .*must allow 'wasm-unsafe-eval' in script-src/);
  });

  it('says what is wrong with a name or an option', async () => {
    await start();
    const page = await open();
    expect((await run(page, {}, '/models/none')).error).to.match(/^TokenizerError: .*models\/none/);
    expect((await run(page, { backend: 'cuda' })).error).to.match(/^InvalidArgumentError: backend/);
    expect((await run(page, { worker: 1 })).error).to.match(/^InvalidArgumentError: options/);
    const workerUrl = '/lib/none.js';
    expect((await run(page, { workerUrl })).error).to.match(/^WorkerError: .*lib\/none\.js/);
  });
});
