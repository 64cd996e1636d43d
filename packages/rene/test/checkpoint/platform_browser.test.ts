// Model names in a page, with the globals of a page.

import { errorOf } from '@rene-js/testing';
import { expect } from 'chai';
import type { HubOptions } from '../../src/checkpoint/hub.js';
import * as files from '../../src/checkpoint/node_files_browser.js';
import { webFolderOf } from '../../src/checkpoint/platform_browser.js';
import { CheckpointError } from '../../src/errors.js';

const GLOBALS = ['document', 'location', 'origin'];

describe('a model name in a page', () => {
  const saved = new Map<string, PropertyDescriptor | undefined>();

  beforeEach(() => {
    for (const name of GLOBALS) saved.set(name, Object.getOwnPropertyDescriptor(globalThis, name));
  });
  afterEach(() => {
    for (const [name, descriptor] of saved) {
      if (descriptor) Object.defineProperty(globalThis, name, descriptor);
      else Reflect.deleteProperty(globalThis, name);
    }
  });

  function pretend(values: Readonly<Record<string, unknown>>): void {
    for (const name of GLOBALS) {
      Object.defineProperty(globalThis, name, { value: values[name], configurable: true });
    }
  }
  const page = (href: string, baseURI = href) =>
    pretend({ document: { baseURI }, location: { href }, origin: new URL(href).origin });
  const url = (name: string | URL, hub: HubOptions = {}) =>
    webFolderOf(name, hub).url('config.json');

  it("can be a path of the page's server, relative to the page, its base element, or the worker", () => {
    page('https://app.example/chat/index.html?x#y');
    expect(url('/models/x')).to.equal('https://app.example/models/x/config.json');
    expect(url('./models/x/')).to.equal('https://app.example/chat/models/x/config.json');
    expect(url('../x?v=2')).to.equal('https://app.example/x/config.json?v=2');
    expect(url('a/b/c')).to.equal('https://app.example/chat/a/b/c/config.json');
    expect(url('//cdn.example/x')).to.equal('https://cdn.example/x/config.json');
    expect(url('.')).to.equal('https://app.example/chat/config.json');
    page('https://app.example/chat/', 'https://cdn.example/base/');
    expect(url('./x')).to.equal('https://cdn.example/base/x/config.json');
    pretend({
      location: { href: 'http://localhost:5173/src/worker.js' },
      origin: 'http://localhost:5173',
    });
    expect(url('./x')).to.equal('http://localhost:5173/src/x/config.json');
    pretend({ location: { href: 'blob:https://app.example/123' }, origin: 'https://app.example' });
    expect(url('/x')).to.equal('https://app.example/x/config.json');
  });

  it('can be a URL, as text or as a URL object', () => {
    page('https://app.example/');
    expect(url('https://h.example/x?y')).to.equal('https://h.example/x/config.json?y');
    expect(url('HTTP://h.example')).to.equal('http://h.example/config.json');
    expect(url(new URL('https://h.example/x/'))).to.equal('https://h.example/x/config.json');
  });

  it('can be a hub id, with its revision, endpoint and token', () => {
    page('https://app.example/');
    const hub = 'https://huggingface.co';
    expect(url('some-lab/tiny')).to.equal(`${hub}/some-lab/tiny/resolve/main/config.json`);
    expect(url('gpt2')).to.equal(`${hub}/gpt2/resolve/main/config.json`);
    expect(url('a/b', { revision: 'refs/pr/1' })).to.equal(
      `${hub}/a/b/resolve/refs%2Fpr%2F1/config.json`,
    );
    const mirror = { endpoint: 'https://mirror.example/hf/', token: ' hf_x\n' };
    expect(url('a/b', mirror)).to.equal('https://mirror.example/hf/a/b/resolve/main/config.json');
    expect(webFolderOf('a/b', mirror).headers).to.deep.equal({ authorization: 'Bearer hf_x' });
    expect(webFolderOf('https://h.example/x', mirror).headers).to.deep.equal({});
    expect(url('a/b', { endpoint: '/hub' })).to.equal(
      'https://app.example/hub/a/b/resolve/main/config.json',
    );
  });

  it('is refused by name if a page cannot load it', async () => {
    page('https://app.example/');
    const tiny = await errorOf(CheckpointError, () => url('rene-tiny'));
    expect(tiny.message).to.match(
      /'rene-tiny' is included for Node only: in a page, serve the folder/,
    );
    for (const name of [
      's3://b/x',
      'file:///etc/x',
      'blob:https://x/y',
      'data:text/plain,x',
      'http://',
      'ftp://x',
    ]) {
      const error = await errorOf(CheckpointError, () => url(name));
      expect(error.message, name).to.match(
        /expected an http\(s\) URL, a path of the page's server/,
      );
    }
    await errorOf(CheckpointError, () => url(new URL('file:///x')));
    await errorOf(CheckpointError, () => url('a/b', { endpoint: 'http://' }));
    page('file:///home/ann/index.html');
    await errorOf(CheckpointError, () => url('/models/x'));
    pretend({});
    await errorOf(CheckpointError, () => url('/models/x'));
  });

  it('cannot be a local file', async () => {
    for (const [name, call] of Object.entries(files)) {
      const error = await errorOf(CheckpointError, () => call('/a/file'));
      expect(error.message, name).to.match(/\/a\/file: files can be read and written in Node only/);
    }
  });
});
