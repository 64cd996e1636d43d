// Environment variables about the hub, read as in Python's huggingface_hub.
import { existsSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { errorOf, type FakeHub, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import type { HubOptions } from '../../src/checkpoint/hub.js';
import { hubCacheDir, hubHome } from '../../src/checkpoint/hub_cache.js';
import { savedToken } from '../../src/checkpoint/hub_token.js';
import { resolveModel } from '../../src/checkpoint/resolve.js';
import { HubError } from '../../src/errors.js';
import { REPO, withFakeHub } from './hub_suite.js';

describe("the hub's environment variables", () => {
  const folder = temporaryFolders();

  it('locate the cache as Python does', () => {
    const xdg = { XDG_CACHE_HOME: '/cache' };
    expect(hubCacheDir(xdg)).to.equal('/cache/huggingface/hub');
    expect(hubCacheDir({ ...xdg, HF_HOME: '/hf' })).to.equal('/hf/hub');
    const old = { ...xdg, HF_HOME: '/hf', HUGGINGFACE_HUB_CACHE: '/old' };
    expect(hubCacheDir(old)).to.equal('/old');
    expect(hubCacheDir({ ...old, HF_HUB_CACHE: '/hub' })).to.equal('/hub');
    expect(hubCacheDir({})).to.equal(join(homedir(), '.cache', 'huggingface', 'hub'));
    expect(hubCacheDir({ HF_HOME: '', HF_HUB_CACHE: '' })).to.equal(hubCacheDir({}));
  });

  it('can have paths with ~ and variables', () => {
    const env = { HOME: '/home/ann', DATA: '/data', EMPTY: '', 'A B': 'x' };
    const paths = {
      '~': '/home/ann',
      '~/hf': '/home/ann/hf',
      '~//hf': '/home/ann//hf',
      '$HOME/hf': '/home/ann/hf',
      '${DATA}hf': '/datahf',
      '$DATA/${HOME}': '/data//home/ann',
      '/a~/b': '/a~/b',
      '/x$EMPTY/y': '/x/y',
      '$UNKNOWN/hf': '$UNKNOWN/hf',
      '${A B}': 'x',
      '/a$': '/a$',
    };
    for (const [written, meant] of Object.entries(paths)) {
      expect(hubHome({ ...env, HF_HOME: written }), written).to.equal(meant);
      expect(hubCacheDir({ ...env, HF_HUB_CACHE: written }), written).to.equal(meant);
    }
    expect(hubHome({ ...env, XDG_CACHE_HOME: '~/c' })).to.equal('/home/ann/c/huggingface');
    expect(() => hubHome({ ...env, HF_HOME: '~bob/hf' })).to.throw(HubError, /HF_HOME.*~bob\/hf/);
  });

  describe('the token', () => {
    let home: string;
    beforeEach(() => {
      home = folder();
    });
    const found = (env: Record<string, string>) => savedToken({ HF_HOME: home, ...env });

    it('is trimmed of blanks and line ends; only blanks mean no token', async () => {
      for (const text of [
        'hf_x',
        ' hf_x ',
        'hf_x\n',
        '\r\nhf_x\r\n',
        '\thf_x',
        '\ufeffhf_x',
        'hf\n_x',
      ]) {
        expect(await found({ HF_TOKEN: text }), JSON.stringify(text)).to.equal('hf_x');
        writeFileSync(join(home, 'token'), text);
        expect(await found({ HF_TOKEN: ' \n' })).to.equal('hf_x');
      }
      writeFileSync(join(home, 'token'), '\n');
      expect(await found({ HF_TOKEN: '', HUGGING_FACE_HUB_TOKEN: ' ' })).to.equal(undefined);
    });

    it('has two variables, of which the newer wins, and a file', async () => {
      writeFileSync(join(home, 'token'), 'hf_file');
      expect(await found({})).to.equal('hf_file');
      expect(await found({ HUGGING_FACE_HUB_TOKEN: 'hf_old' })).to.equal('hf_old');
      expect(await found({ HUGGING_FACE_HUB_TOKEN: 'hf_old', HF_TOKEN: 'hf_new' })).to.equal(
        'hf_new',
      );
      mkdirSync(join(home, 'sub'));
      writeFileSync(join(home, 'sub', 't'), 'hf_path');
      expect(await found({ HOME: home, HF_TOKEN_PATH: '~/sub/t' })).to.equal('hf_path');
      expect(await found({ HOME: home, HF_TOKEN_PATH: '$HOME/none' })).to.equal(undefined);
      expect(await found({ HF_HUB_DISABLE_IMPLICIT_TOKEN: '1' })).to.equal(undefined);
    });

    it('is not shown if it cannot be sent', async () => {
      for (const token of ['hf_se cret', 'hf_secret\u0000', 'hf_sécret']) {
        const error = await errorOf(HubError, () => found({ HF_TOKEN: token }));
        expect(error.message).to.match(/^HF_TOKEN: expected a token/);
        expect(error.message).not.to.match(/cret/);
      }
    });
  });

  describe('other variables', () => {
    let hub: FakeHub;
    let options: HubOptions;
    let home: string;

    withFakeHub((suite) => {
      ({ hub, options, home } = suite);
    });

    it('affect downloads: an older name of the token, ~ in HF_HOME, an offline switch', async () => {
      hub.requiredToken = 'hf_old';
      process.env.HUGGING_FACE_HUB_TOKEN = ' hf_old\r\n';
      process.env.RENE_TEST_FOLDER = home;
      process.env.HF_HOME = '$RENE_TEST_FOLDER/sub';
      await resolveModel(REPO, options);
      expect(readdirSync(join(home, 'sub', 'hub'))).to.deep.equal(['models--some-lab--tiny']);
      expect(existsSync('$RENE_TEST_FOLDER')).to.equal(false);
      process.env.TRANSFORMERS_OFFLINE = '1';
      const before = hub.requests.length;
      await resolveModel(REPO, options);
      expect(hub.requests.length).to.equal(before);
    });

    it('a token option overrides all others; an empty one means none', async () => {
      hub.requiredToken = 'hf_given';
      process.env.HF_TOKEN = 'hf_wrong';
      await resolveModel(REPO, { ...options, token: ' hf_given\n' });
      hub.requiredToken = undefined;
      hub.tokens.hub.clear();
      await resolveModel(REPO, { ...options, token: '', cacheDir: folder() });
      expect([...hub.tokens.hub]).to.deep.equal([]);
    });

    it('a user name in the endpoint is a login there, and is not shown', async () => {
      const endpoint = hub.endpoint.replace('//', '//ann:p%40ss@');
      await resolveModel(REPO, { ...options, endpoint, token: 'hf_x' });
      const login = `Basic ${Buffer.from('ann:p@ss').toString('base64')}`;
      expect([...hub.tokens.hub]).to.deep.equal([login]);
      expect([...hub.tokens.storage]).to.deep.equal([]);
      const error = await errorOf(HubError, () => resolveModel('a/none', { ...options, endpoint }));
      expect(error.message).not.to.match(/ann|p@ss|p%40/);
    });
  });
});
