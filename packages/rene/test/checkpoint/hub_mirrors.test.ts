// Hubs other than huggingface.co: any ETag or none, no HEAD, redirects to other hosts.
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { errorOf, type FakeHub, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import fc from 'fast-check';
import type { HubOptions } from '../../src/checkpoint/hub.js';
import { resolveModel } from '../../src/checkpoint/resolve.js';
import { HubError } from '../../src/errors.js';
import { REPO, withFakeHub } from './hub_suite.js';

const FILES = { 'config.json': '{"a": 1}', 'tokenizer.json': '{}', 'model.safetensors': 'weights' };
const hash = (name: string, text: string) => createHash(name).update(text).digest('hex');
const git = (text: string) => hash('sha1', `blob ${text.length}\0${text}`);

describe('hub mirrors', () => {
  const folder = temporaryFolders();
  let hub: FakeHub;
  let options: HubOptions;
  let repoDir: string;

  withFakeHub((suite) => {
    ({ hub, options, repoDir } = suite);
    hub.add(REPO, FILES);
  });

  /** Downloads the model and compares the content of each file. */
  async function download(more: HubOptions = {}): Promise<string[]> {
    const dir = await resolveModel(REPO, { ...options, ...more });
    for (const [name, text] of Object.entries(FILES)) {
      expect(readFileSync(join(dir, name), 'utf8'), name).to.equal(text);
    }
    return readdirSync(join(dir, '..', '..', 'blobs')).sort();
  }
  const blobs = (name: (text: string) => string) => Object.values(FILES).map(name).sort();
  const sha256 = (text: string) => hash('sha256', text);

  it('may have any ETag or none: files are named by their SHA-256', async () => {
    for (const etag of [
      ...[
        undefined,
        '',
        '""',
        '"5f3-61a2b"',
        'W/"5f3-61a2b"',
        '"d41d8cd98f00b204e9800998ecf8427e-3"',
      ],
      ...[
        '"CJqW+a/b=="',
        '"0x8DB1F2E3"',
        '"../../../evil"',
        '"a:b"',
        '"same for all"',
        'x'.repeat(500),
      ],
    ]) {
      hub.headers = () => ({ etag });
      expect(await download({ cacheDir: folder() }), etag).to.deep.equal(blobs(sha256));
    }
  });

  it('may have ETags of any characters', async () => {
    const etags = fc.string({
      unit: fc.integer({ min: 0x20, max: 0x7e }).map((c) => String.fromCharCode(c)),
    });
    await fc.assert(
      fc.asyncProperty(etags, async (etag) => {
        hub.headers = () => ({ etag });
        await download({ cacheDir: folder() });
      }),
      { numRuns: 15 },
    );
  });

  it('may state the SHA-1 of the content instead of the git hash', async () => {
    const text = FILES['config.json'];
    for (const etag of [hash('sha1', text), git(text).toUpperCase(), `W/"${git(text)}"`]) {
      hub.headers = (name) => (name === 'config.json' ? { etag } : {});
      const found = await download({ cacheDir: folder() });
      const digits = /[0-9a-f]{40}/i.exec(etag)?.[0].toLowerCase();
      expect(found, etag).to.include(digits);
    }
  });

  it('may state other hashes, unless they claim to be the hub', async () => {
    for (const digits of [40, 64]) {
      hub.headers = () => ({ etag: `"${'b'.repeat(digits)}"`, 'x-repo-commit': undefined });
      expect(await download({ cacheDir: folder() })).to.deep.equal(blobs(sha256));
    }
  });

  it('must send content with the stated SHA-256', async () => {
    hub.headers = () => ({ 'x-linked-etag': `"${'b'.repeat(64)}"` });
    const error = await errorOf(HubError, () => download());
    expect(error.message).to.match(/does not match the hub's metadata \(checksum b{64}\)/);
    expect(readdirSync(join(repoDir, 'blobs'))).to.deep.equal([]);
  });

  it('resume files without an ETag, and download them once', async () => {
    hub.headers = () => ({ etag: undefined });
    hub.add(REPO, { ...FILES, 'model.safetensors': 'w'.repeat(900) });
    hub.fail(/GET .*model\.safetensors/, { breakAfter: 300 }, { breakAfter: 100 });
    const dirs = await Promise.all([resolveModel(REPO, options), resolveModel(REPO, options)]);
    expect(hub.sent.get('model.safetensors')).to.equal(900);
    expect(readFileSync(join(dirs[0], 'model.safetensors'), 'utf8')).to.equal('w'.repeat(900));
  });

  it('report a file of another length than stated', async () => {
    hub.headers = (name) => ({
      etag: undefined,
      ...(name === 'config.json' && { 'x-linked-size': '3' }),
    });
    const error = await errorOf(HubError, () => download());
    expect(error.message).to.match(/config\.json: .*does not match the hub's metadata \(3 bytes\)/);
  });

  it('may refuse HEAD', async () => {
    for (const status of [405, 501]) {
      hub.fail(/HEAD/, { status }, { status }, { status });
      expect(await download({ cacheDir: folder() })).to.deep.equal(blobs(sha256));
    }
    hub.fail(/HEAD/, { status: 403 });
    const error = await errorOf(HubError, () => download({ cacheDir: folder() }));
    expect(error.message).to.match(/access denied/);
  });

  it('may redirect to another host: with its ETag, without one, and if HEAD is refused', async () => {
    const elsewhere = (path: string) =>
      `${hub.storageEndpoint}/${encodeURIComponent(REPO)}/${basename(path)}`;
    hub.redirect = (_, path) => (path.includes('/resolve/') ? elsewhere(path) : undefined);
    expect(await download({ cacheDir: folder() })).to.deep.equal(blobs(sha256));
    const refused = [403, 405, 404].map((status) => ({ status }));
    hub.fail(/HEAD \/some-lab%2F/, ...refused);
    expect(await download({ cacheDir: folder() })).to.deep.equal(blobs(sha256));
    // A mirror in front of the hub: the second redirect has the hub's metadata.
    const other = hub.endpoint.replace('127.0.0.1', 'localhost');
    for (const prefix of [other, other.replace('http:', '')]) {
      hub.redirect = (_, path) =>
        path.includes('/resolve/') && !path.includes('?') ? `${prefix}${path}?x` : undefined;
      expect(await download({ cacheDir: folder() })).to.deep.equal(blobs(git));
    }
  });

  it('may redirect the list of files', async () => {
    hub.redirect = (_, path) =>
      /\/api\/[^?]*$/.test(path) ? `.${path}?x`.replace('./', '/') : undefined;
    await download();
  });

  it('are refused if they send a login page instead of a file', async () => {
    hub.headers = () => ({ etag: undefined, 'content-type': 'text/html; charset=utf-8' });
    const error = await errorOf(HubError, () => download());
    expect(error.message).to.match(/config\.json: expected a file, found a web page/);
    expect(existsSync(join(repoDir, 'snapshots'))).to.equal(false);
  });
});
