// The hub's token is sent only to the hub's origin, for any redirect, resume or retry.

import { errorOf, type FakeHub, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import type { HubOptions } from '../../src/checkpoint/hub.js';
import { resolveModel } from '../../src/checkpoint/resolve.js';
import { HubError } from '../../src/errors.js';
import { REPO, withFakeHub } from './hub_suite.js';

describe("the hub's token", () => {
  const folder = temporaryFolders();
  let hub: FakeHub;
  let options: HubOptions;
  let own: string;
  /** The same server under another host name: another origin. */
  let other: string;

  withFakeHub((suite) => {
    ({ hub } = suite);
    options = { ...suite.options, token: 'hf_secret' };
    own = new URL(hub.endpoint).host;
    other = own.replace('127.0.0.1', 'localhost');
    // All files are on the hub itself.
    hub.add(REPO, { 'config.json': '{}', 'model.safetensors': 'w'.repeat(5000) }, 10_000);
  });

  /** Checks which hosts got the token, and returns the hosts with requests. */
  const hosts = () => {
    for (const { host, path, token } of hub.seen) {
      expect(token, `${host}${path}`).to.equal(host === own ? 'Bearer hf_secret' : undefined);
    }
    return [...new Set(hub.seen.splice(0).map(({ host }) => host))];
  };
  const isMoved = (path: string) => path.includes('?moved');
  const isFile = (path: string) => path.includes('/resolve/');

  it('is not sent after a redirect to another host, however it is spelled', async () => {
    for (const prefix of [
      ...[`http://${other}`, `//${other}`, `/\\${other}`, `\\\\${other}`, `\\/${other}`],
      ...[
        `http:\\\\${other}`,
        `http:\t//${other}`,
        `/\t/${other}`,
        `HTTP://${other.toUpperCase()}`,
      ],
      ...[`////${other}`, `//${own}@${other}`, `http://u:p@${other}`, `http:/\\${other}`],
    ]) {
      for (const wanted of [/HEAD .*config/, /GET .*\/resolve\//, /GET \/api/]) {
        hub.redirect = (method, path) =>
          wanted.test(`${method} ${path}`) && !isMoved(path) ? `${prefix}${path}?moved` : undefined;
        await resolveModel(REPO, { ...options, cacheDir: folder() });
        expect(hosts(), prefix).to.have.members([own, other]);
      }
    }
  });

  it('is not sent there when a download is resumed or retried', async () => {
    hub.redirect = (method, path) =>
      method === 'GET' && isFile(path) && !isMoved(path) ? `//${other}${path}?moved` : undefined;
    const faults = [{ breakAfter: 1000 }, { status: 500 }, { truncateTo: 700 }];
    hub.fail(/GET .*model\.safetensors/, ...faults);
    await resolveModel(REPO, options);
    const moved = hub.seen.filter(({ path }) => path.endsWith('.safetensors?moved'));
    expect(moved.length).to.equal(faults.length + 1);
    expect(hosts()).to.have.members([own, other]);
  });

  it('is sent within the origin, also for an absolute URL', async () => {
    hub.requiredToken = 'hf_secret';
    for (const prefix of ['', hub.endpoint, `//${own}`, `http://other@${own}`]) {
      hub.redirect = (_, path) => (isMoved(path) ? undefined : `${prefix}${path}?moved`);
      await resolveModel(REPO, { ...options, cacheDir: folder() });
      expect(hosts()).to.deep.equal([own]);
    }
  });

  it('is not sent to another port of the same host', async () => {
    hub.redirect = (method) =>
      method === 'HEAD'
        ? `${hub.storageEndpoint}/${encodeURIComponent(REPO)}/config.json`
        : undefined;
    const error = await errorOf(HubError, () => resolveModel(REPO, options));
    expect(error.message).not.to.contain('hf_secret');
    expect(hub.requests.filter((request) => request.startsWith('HEAD /some-lab%2F'))).not.to.be
      .empty;
    expect([...hub.tokens.storage]).to.deep.equal([]);
  });

  it('is reported as missing if the hub has moved', async () => {
    hub.requiredToken = 'hf_secret';
    hub.redirect = (_, path) => (isMoved(path) ? undefined : `//${other}${path}?moved`);
    const error = await errorOf(HubError, () => resolveModel(REPO, options));
    expect(error.message).to.match(
      /access denied .*redirects to http:\/\/localhost:\d+, which is not sent/,
    );
    expect(error.message).not.to.contain('hf_secret');
    expect(hosts()).to.have.members([own, other]);
  });

  it('requires an endpoint that is a URL', async () => {
    for (const endpoint of [
      'hub.example',
      'ftp://hub.example',
      'http://',
      'https://[',
      '/models',
    ]) {
      const error = await errorOf(HubError, () => resolveModel(REPO, { ...options, endpoint }));
      expect(error.message).to.match(/HF_ENDPOINT: expected the http\(s\) URL/);
    }
  });
});
