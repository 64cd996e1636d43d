// The names of a model: URLs of any form, and what is refused.
import { pathToFileURL } from 'node:url';
import { InvalidArgumentError } from '@rene-js/layers';
import { errorOf, golden } from '@rene-js/testing';
import { expect } from 'chai';
import fc from 'fast-check';
import { webFolder } from '../../src/checkpoint/web_folder.js';
import { CheckpointError } from '../../src/errors.js';
import { ReneLMHeadModel } from '../../src/rene_model.js';
import { Tokenizer } from '../../src/tokenizer.js';

describe('the URL of a model', () => {
  const dir = golden('tiny-options');

  async function logits(name: string | URL): Promise<Uint8Array | Float32Array | Int32Array> {
    const model = await ReneLMHeadModel.fromPretrained(name, {
      backend: 'simd',
      onNotice: () => {},
    });
    const result = model.forward([[5, 17, 31, 44]]);
    const data = await result.data();
    result.dispose();
    model.dispose();
    return data;
  }

  it('is found by any URL of its folder', () => {
    const segment = fc.stringMatching(/^[\w~ .üß%25-]{1,8}$/).map(encodeURIComponent);
    fc.assert(
      fc.property(fc.array(segment), fc.webQueryParameters(), (segments, query) => {
        const path = segments.map((each) => `/${each}`).join('');
        const url = new URL(`https://host.example${path}/?${query}#x`);
        const file = new URL(webFolder(url).url('a b/c.json'));
        expect(file.pathname).to.equal(`${url.pathname.replace(/\/+$/, '')}/a%20b/c.json`);
        expect([file.search, file.hash, file.host]).to.deep.equal([url.search, '', 'host.example']);
        expect(webFolder(url).name).not.to.match(/[?#]/);
      }),
    );
  });

  it('can have a file URL, as text or as a URL object', async () => {
    const url = pathToFileURL(dir);
    const expected = await logits(dir);
    expect(await logits(url)).to.deep.equal(expected);
    expect(await logits(`${url}/`)).to.deep.equal(expected);
    expect(await logits(url.href.replace('file:', 'FILE:'))).to.deep.equal(expected);
    const tiny = new URL('../../../models/rene-tiny/', import.meta.url);
    for (const name of [tiny, new URL('tokenizer.json', tiny), `${tiny}tokenizer.json`]) {
      expect((await Tokenizer.fromPretrained(name)).encode('ice')).not.to.deep.equal([]);
    }
  });

  it('refuses another scheme by name', async () => {
    for (const url of [
      's3://bucket/x?secret',
      'ftp://host/x',
      'hf://some/id',
      'data://x',
      'gs://b',
    ]) {
      const [name = ''] = url.split('?');
      const model = await errorOf(CheckpointError, () => logits(url));
      expect(model.message).to.match(
        /expected a model folder, a file URL or a hub id.*another kind/,
      );
      expect(model.message).to.contain(name).and.not.to.contain('secret');
      await errorOf(CheckpointError, () => Tokenizer.fromPretrained(url));
    }
    await errorOf(CheckpointError, () => logits(new URL('blob:https://x/y')));
    for (const bad of [
      'http://',
      'https://u:secret@',
      'http://[x]',
      'https://a b/',
      'http://x:99999/?secret',
    ]) {
      const error = await errorOf(CheckpointError, () => logits(bad));
      expect(error.message)
        .to.match(/expected the http\(s\) URL of a folder/)
        .and.not.to.contain('secret');
      await errorOf(CheckpointError, () => Tokenizer.fromPretrained(bad));
    }
    const login = await errorOf(CheckpointError, () => logits('ftp://u:secret@host/x'));
    expect(login.message).to.match(/^ftp:\/\/host\/x: /);
    const remote = await errorOf(CheckpointError, () => logits('file://host/share'));
    expect(remote.message).to.match(/expected the URL of a local file/);
  });

  it('must be text or a URL', async () => {
    for (const name of [undefined, null, 7, { href: 'http://host' }]) {
      for (const load of [ReneLMHeadModel.fromPretrained, Tokenizer.fromPretrained]) {
        const error = await errorOf(InvalidArgumentError, () => Reflect.apply(load, null, [name]));
        expect(error.message).to.match(
          /^name: expected a folder, a hub id \(owner\/name\) or a URL/,
        );
      }
    }
  });
});
