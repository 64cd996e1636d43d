// What names a model in a page: paths of its server, URLs, hub ids; and what is refused there by name.
import { expect } from 'chai';
import { esbuildBuild } from '../harness/bundlers.js';
import { openPage, type TestPage } from '../harness/chromium.js';
import { reneTiny } from '../harness/project.js';
import { type StaticServer, serve } from '../harness/static_server.js';
import { describeInChromium } from '../harness/suite.js';

/** Answers with what came of a call: its value, or its error as text. */
const main = `
import { ReneLMHeadModel, Tokenizer } from '@rene-js/rene';
const calls = {
  async model(name, options) {
    const model = await ReneLMHeadModel.fromPretrained(name, { backend: 'cpu', ...options });
    model.dispose();
    return model.config.nLayer;
  },
  url: (name, options) => calls.model(new URL(name, location.href), options),
  tokenizer: async (name, options) => (await Tokenizer.fromPretrained(name, options)).vocabSize,
  async save(name, options) {
    const model = await ReneLMHeadModel.fromPretrained(name, { backend: 'cpu' });
    await model.save('/tmp/x').finally(() => model.dispose());
  },
};
globalThis.call = (kind, name, options) => calls[kind](name, options).catch(String);
`;

declare global {
  var call: (kind: string, name: string, options: object) => Promise<number | string>;
}

describeInChromium('the name of a model in a page', (suite) => {
  let page: TestPage;
  let servers: StaticServer[];
  let hub: { endpoint: string };

  before(async () => {
    const project = await suite().projects.add('names', { 'main.js': main });
    const root = await esbuildBuild('esm')(project);
    const folders = { '/some-lab/tiny/resolve/main/': reneTiny, '/models/tiny/': reneTiny };
    // The hub is another origin, which does not expose Content-Range.
    const headers = { 'access-control-expose-headers': '' };
    servers = [
      await serve(root, { folders, fallback: 'index.html' }),
      await serve(root, { folders, headers }),
    ];
    const [app, other] = servers;
    hub = { endpoint: other?.origin ?? '' };
    page = await openPage(`${app?.origin}/`);
    await page.page.waitForFunction(() => 'call' in globalThis);
  });
  after(async () => {
    await page?.close();
    for (const server of servers ?? []) server.close();
  });

  const call = (kind: string, name: string, options: object = {}) =>
    page.page.evaluate(([a, b, c]) => globalThis.call(a, b, c), [kind, name, options] as const);

  it('is a path of its server, a URL or a hub id', async () => {
    for (const name of ['/models/tiny', './models/tiny/', 'models/tiny/?v=1']) {
      expect(await call('model', name), name).to.equal(12);
      expect(await call('tokenizer', name), name).to.equal(8192);
    }
    expect(await call('url', '/models/tiny')).to.equal(12);
    expect(await call('model', `${hub.endpoint}/models/tiny`)).to.equal(12);
    expect(await call('model', 'some-lab/tiny', { hub })).to.equal(12);
    expect(await call('tokenizer', 'some-lab/tiny', hub)).to.equal(8192);
  });

  it('is refused by name where a page has nothing of it', async () => {
    const model = async (name: string, options?: object) => call('model', name, options);
    expect(await model('rene-tiny')).to.match(
      /^CheckpointError: 'rene-tiny' is included for Node only/,
    );
    expect(await model('s3://bucket/x')).to.match(
      /^CheckpointError: 's3:\/\/bucket\/x': expected an http/,
    );
    expect(await model('file:///x')).to.match(/^CheckpointError: 'file:\/\/\/x': expected an http/);
    expect(await model('/models/none')).to.match(
      /^CheckpointError: .*\/none\/model\.safetensors: a web page/,
    );
    expect(await model('some-lab/none', { hub })).to.match(
      /^CheckpointError: .*some-lab\/none.*HTTP 404/,
    );
    expect(await model('http://localhost:1/x')).to.match(
      /^CheckpointError: .*cannot be reached.*Allow-Origin/,
    );
  });

  it('is not loaded on a backend of Node', async () => {
    for (const backend of ['cuda', 'tensorflow']) {
      const error = await call('model', '/models/tiny', { backend });
      expect(error).to.match(new RegExp(`^BackendError: the backend '${backend}' needs Node`));
    }
  });

  it('is no place to save to', async () => {
    expect(await call('save', '/models/tiny')).to.match(
      /^CheckpointError: \/tmp\/x: files .* in Node only/,
    );
  });
});
