// What a page says and does where the kernels or the worker are not served, or not allowed to run.
import { copyFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { esbuildBuild } from '../harness/bundlers.js';
import { generateInPage, type PageRun } from '../harness/generate.js';
import { repository } from '../harness/project.js';
import { type StaticServerOptions, serve } from '../harness/static_server.js';
import { describeInChromium } from '../harness/suite.js';

const backend = join(repository, 'packages/layers/dist/src/backends/simd');

describeInChromium('files of the backend simd in a page', (suite) => {
  /** A bundle without the files; with them; without files and embedded copies. */
  let bare: string;
  let whole: string;
  let broken: string;

  before(async () => {
    const { projects } = suite();
    bare = await esbuildBuild('esm')(await projects.add('bare'));
    whole = await esbuildBuild('esm')(await projects.add('whole'));
    for (const file of ['kernels.wasm', 'kernels_relaxed.wasm', 'worker_browser.js']) {
      await copyFile(join(backend, file), join(whole, file));
    }
    broken = await esbuildBuild('split')(await projects.add('broken'));
    for (const file of await readdir(broken)) {
      if (file.startsWith('kernels')) await rm(join(broken, file));
    }
  });

  async function run(
    root: string,
    options: StaticServerOptions,
    backendName?: string,
  ): Promise<PageRun & { origin: string; notices: string[] }> {
    const server = await serve(root, options);
    try {
      const call = { model: suite().models.origin, prompt: 'A river', maxNewTokens: 3 };
      const made = await generateInPage(`${server.origin}/`, { ...call, backend: backendName });
      const notices = made.messages.filter((text) => /simd/.test(text));
      return { ...made, origin: server.origin, notices };
    } finally {
      server.close();
    }
  }

  it('are used where they are beside the bundle', async () => {
    const { result, notices, cores } = await run(whole, { isolated: true });
    expect(result).to.include({ backend: 'simd', threads: cores });
    expect(notices).to.deep.equal([]);
  });

  it('are replaced by embedded copies where they are missing, which is said', async () => {
    const { result, notices, cores, origin } = await run(bare, { isolated: true });
    expect(result).to.include({ backend: 'simd', threads: cores });
    expect(notices[0]).to.equal(
      `simd: ${origin}/kernels_relaxed.wasm: HTTP status 404. Using the embedded copy.`,
    );
    expect(notices.slice(1)).to.have.length(cores > 1 ? 1 : 0);
    for (const notice of notices.slice(1)) {
      expect(notice).to.match(/^simd: .*worker_browser\.js.* Using the embedded copy\.$/);
    }
  });

  it('are replaced where a page comes instead', async () => {
    const { result, notices, origin } = await run(bare, { fallback: 'index.html' });
    expect(result).to.include({ backend: 'simd' });
    expect(notices).to.deep.equal([
      `simd: ${origin}/kernels_relaxed.wasm: expected WebAssembly, found text/html; charset=utf-8. ` +
        'Using the embedded copy.',
    ]);
  });

  it('are named by their URL where there is no copy either', async () => {
    const { error, origin } = await run(broken, {});
    expect(error).to.match(/^BackendError: .*simd.* cannot load its kernels/);
    expect(error).to.contain(`${origin}/kernels_relaxed.wasm: HTTP status 404`);
    const auto = await run(broken, {}, 'auto');
    expect(auto.result).to.include({ backend: 'cpu' });
    const notices = auto.notices.filter((text) => text.includes('Using the backend'));
    expect(notices).to.have.length(1);
    expect(notices[0]).to.contain(`${auto.origin}/kernels_relaxed.wasm: HTTP status 404`);
  });

  const policy = (scripts: string, workers: string) => ({
    isolated: true,
    headers: {
      'content-security-policy': `default-src 'self'; connect-src *; script-src ${scripts}; worker-src ${workers}`,
    },
  });

  it('run under a strict Content-Security-Policy', async () => {
    const { result, notices, cores } = await run(
      whole,
      policy("'self' 'wasm-unsafe-eval'", "'self'"),
    );
    expect(result).to.include({ backend: 'simd', threads: cores });
    expect(notices).to.deep.equal([]);
  });

  it('say what a Content-Security-Policy must allow', async () => {
    const { error } = await run(whole, policy("'self'", "'self'"));
    expect(error).to.match(
      /^BackendError: .*Content-Security-Policy must allow 'wasm-unsafe-eval' in script-src/,
    );
  });

  it('do without workers where these are forbidden, which is said once', async () => {
    const { result, notices, cores } = await run(
      whole,
      policy("'self' 'wasm-unsafe-eval'", "'none'"),
    );
    expect(result).to.include({ backend: 'simd' });
    expect(notices.filter((text) => text.includes('worker-src'))).to.have.length(cores > 1 ? 1 : 0);
  });
});
