// Unreachable hubs, and caches that cannot be written.
import { chmodSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { errorOf, type FakeHub } from '@rene-js/testing';
import { expect } from 'chai';
import { checkConnection } from '../../src/checkpoint/connect.js';
import type { HubOptions } from '../../src/checkpoint/hub.js';
import { resolveModel, resolveTokenizer } from '../../src/checkpoint/resolve.js';
import { TransientError, withRetries } from '../../src/checkpoint/retries.js';
import { HubError, TokenizerError } from '../../src/errors.js';
import { config, REPO, withFakeHub } from './hub_suite.js';

describe('without a hub', () => {
  let hub: FakeHub;
  let options: HubOptions;
  let repoDir: string;
  let notices: string[];

  withFakeHub((suite) => {
    ({ hub, repoDir } = suite);
    notices = [];
    options = { ...suite.options, onNotice: (notice) => notices.push(notice) };
  });

  it('the error names the model, the address and what to do', async () => {
    for (const [endpoint, reason] of [
      ['http://hub.invalid', /^(ENOTFOUND|EAI_AGAIN)$/],
      ['http://127.0.0.1:1', /^ECONNREFUSED$/],
    ] as const) {
      const error = await errorOf(HubError, () => resolveModel(REPO, { ...options, endpoint }));
      const [, why = ''] =
        /^some-lab\/tiny: .*http:\S+ cannot be reached \((\w+)\)/.exec(error.message) ?? [];
      expect(why).to.match(reason);
      expect(error.message).to.contain(endpoint);
      expect(error.message).to.match(/Without a network, give a model folder, or copy that cache/);
      expect(error.message).to.contain(repoDir);
      expect(error.status).to.equal(undefined);
      const tokenizer = await errorOf(HubError, () =>
        resolveTokenizer('gpt2', { ...options, endpoint }),
      );
      expect(tokenizer.message).to.match(/^gpt2: .*cannot be reached/);
    }
  });

  it('the error for a missing tokenizer names the model and the tokenizer that was tried', async () => {
    const bare = join(repoDir, '..', 'bare');
    mkdirSync(bare, { recursive: true });
    writeFileSync(join(bare, 'config.json'), '{"model_type": "rene", "vocab_size": 50280}');
    const dead = { ...options, endpoint: 'http://127.0.0.1:1' };
    const error = await errorOf(TokenizerError, () => resolveTokenizer(bare, dead));
    expect(error.message).to.match(/OLMo-1B-hf: http:\/\/127\.0\.0\.1:1 cannot be reached/);
  });

  it('nothing is retried after the time for a first contact', async () => {
    let tries = 0;
    const fails = (status?: number) => async () => {
      tries++;
      throw new TransientError('no', undefined, status === undefined ? {} : { status });
    };
    const habits = { retryDelay: 50 };
    const deadline = () => Date.now() + 1e6;
    await errorOf(HubError, () => withRetries(habits, fails(), { deadline: Date.now() + 40 }));
    expect(tries).to.equal(1);
    tries = 0;
    await errorOf(HubError, () =>
      withRetries({ retryDelay: 1 }, fails(), { deadline: deadline() }),
    );
    expect(tries).to.equal(5);
    tries = 0;
    // A response means that there is a network.
    const late = { deadline: Date.now() - 1 };
    await errorOf(HubError, () => withRetries({ retryDelay: 1 }, fails(500), late));
    expect(tries).to.equal(5);
  });

  it('a connection is awaited as long as specified, and can be aborted', async () => {
    await checkConnection(hub.endpoint, 10_000, undefined);
    const error = await errorOf(Error, () => {
      const connection = checkConnection(hub.endpoint, 1, undefined);
      // The time is over before the event loop can report the connection.
      const end = performance.now() + 20;
      while (performance.now() < end);
      return connection;
    });
    expect(error.message).to.equal('no connection after 0.0 s');
    const aborted = AbortSignal.abort();
    await errorOf(Error, () => checkConnection(hub.endpoint, 10_000, aborted));
  });

  it("uses a program's own dispatcher, which may have another route", async () => {
    const key = Symbol.for('undici.globalDispatcher.1');
    const before: unknown = Reflect.get(globalThis, key);
    class ProxyAgent {}
    Reflect.set(globalThis, key, new ProxyAgent());
    try {
      await checkConnection('http://127.0.0.1:1', 10_000, undefined);
    } finally {
      Reflect.set(globalThis, key, before);
    }
  });

  it('uses the cached copy after one attempt', async () => {
    const dir = await resolveModel(REPO, options);
    const dead = { ...options, endpoint: 'http://127.0.0.1:1', retryDelay: 1e9 };
    expect(await resolveModel(REPO, dead)).to.equal(dir);
    expect(notices.join()).to.match(
      /cannot be reached.*using the copy of some-lab\/tiny in the cache/,
    );
  });

  describe('a cache that cannot be written', () => {
    /** A new commit with another config.json. */
    function publish(): void {
      hub.commit = 'b'.repeat(40);
      hub.repos.get(REPO)?.files.set('config.json', new TextEncoder().encode('{"new": 1}'));
    }
    async function expectOlder(dir: string): Promise<void> {
      expect(await resolveModel(REPO, options)).to.equal(dir);
      expect(readFileSync(join(dir, 'config.json'))).to.deep.equal(config);
      expect(notices.join()).to.match(
        /cannot be written: .*; using the older copy of some-lab\/tiny/,
      );
    }

    it('uses its older commit, with a notice', async () => {
      const dir = await resolveModel(REPO, options);
      publish();
      // A file in place of the folder stops root too.
      writeFileSync(join(repoDir, 'snapshots', hub.commit), '');
      await expectOlder(dir);
    });

    it('uses it for a user without write permission', async function () {
      if (process.getuid?.() === 0) this.skip();
      const dir = await resolveModel(REPO, options);
      publish();
      const folders = [
        repoDir,
        ...['blobs', 'refs', 'snapshots'].map((name) => join(repoDir, name)),
      ];
      for (const path of folders) chmodSync(path, 0o555);
      try {
        await expectOlder(dir);
      } finally {
        for (const path of folders) chmodSync(path, 0o755);
      }
    });

    it('uses the new commit if only its name cannot be written', async () => {
      const first = await resolveModel(REPO, options);
      publish();
      rmSync(join(repoDir, 'refs', 'main'));
      mkdirSync(join(repoDir, 'refs', 'main'));
      const dir = await resolveModel(REPO, options);
      expect(dir).not.to.equal(first);
      expect(readFileSync(join(dir, 'config.json'), 'utf8')).to.equal('{"new": 1}');
    });
  });
});
