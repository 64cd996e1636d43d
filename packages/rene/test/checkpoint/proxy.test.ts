// Proxies: the proxy of a URL, and downloads through a real one.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { FakeHub, runRene, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import fc from 'fast-check';
import { proxyFor } from '../../src/checkpoint/proxy.js';
import { HubError } from '../../src/errors.js';
import { ProxyServer } from './proxy_server.js';

const DATA = fileURLToPath(new URL('../../../test/checkpoint/data/', import.meta.url));
const HTTPS = 'https://hub.example/a';
const P = 'http://proxy:3128';

describe('proxyFor', () => {
  const href = (url: string, env: Record<string, string>) => proxyFor(url, env)?.href;

  it("uses the variable of the URL's scheme, in lower case first", () => {
    const all = { HTTPS_PROXY: 'http://s:1', HTTP_PROXY: 'http://h:2', ALL_PROXY: 'http://a:3' };
    expect(href(HTTPS, all)).to.equal('http://s:1/');
    expect(href('http://hub.example', all)).to.equal('http://h:2/');
    expect(href('http://hub.example', { ALL_PROXY: P })).to.equal(`${P}/`);
    expect(href(HTTPS, { HTTP_PROXY: P })).to.equal(undefined);
    expect(href(HTTPS, { ...all, https_proxy: 'http://low:4' })).to.equal('http://low:4/');
    expect(href(HTTPS, { ...all, https_proxy: '' })).to.equal(undefined);
    expect(href(HTTPS, {})).to.equal(undefined);
  });

  it('accepts a bare host and a login; refuses others without showing a password', () => {
    expect(href(HTTPS, { HTTPS_PROXY: 'proxy:3128' })).to.equal(`${P}/`);
    expect(href(HTTPS, { HTTPS_PROXY: ' 10.0.0.1:80 ' })).to.equal('http://10.0.0.1/');
    expect(href(HTTPS, { HTTPS_PROXY: 'ann:pw@proxy:3128' })).to.equal('http://ann:pw@proxy:3128/');
    for (const bad of ['socks5://u:secret@p:1', 'ftp://secret', 'http://secret:port', 'http://']) {
      const run = () => href(HTTPS, { HTTPS_PROXY: bad });
      expect(run).to.throw(HubError, /^HTTPS_PROXY: expected the http\(s\) URL of a proxy/);
      expect(run).not.to.throw(/secret/);
    }
  });

  it('excludes the hosts of NO_PROXY', () => {
    const cases: [list: string, url: string, isExempt: boolean][] = [
      ['*', HTTPS, true],
      ['hub.example', HTTPS, true],
      ['HUB.Example', HTTPS, true],
      ['hub.example', 'https://HUB.EXAMPLE./', true],
      ['example', HTTPS, true],
      ['.example', HTTPS, true],
      ['*.example', HTTPS, true],
      ['hub.example.', HTTPS, true],
      ['ub.example', HTTPS, false],
      ['hub.example.org', HTTPS, false],
      ['other, hub.example', HTTPS, true],
      ['other hub.example\tx', HTTPS, true],
      ['hub.example:443', HTTPS, true],
      ['hub.example:8443', HTTPS, false],
      ['hub.example:8443', 'https://hub.example:8443', true],
      ['hub.example:80', 'http://hub.example', true],
      ['', HTTPS, false],
      [',. , *.', HTTPS, false],
      ['10.0.0.0/8', 'https://10.1.2.3', true],
      ['10.0.0.0/8', 'https://11.1.2.3', false],
      ['10.1.2.3', 'https://10.1.2.3:99', true],
      ['10.1.2.3:98', 'https://10.1.2.3:99', false],
      ['2.3', 'https://10.1.2.3', false],
      ['10.0.0.0/99,10.0.0.0/x,10/8,/8', 'https://10.1.2.3', false],
      ['fd00::/8', 'https://[fd00::1]', true],
      ['::1', 'https://[::1]', true],
      ['[::1]:443', 'https://[::1]', true],
      ['[::1]:8443', 'https://[::1]', false],
      ['fd00::/8', 'https://10.1.2.3', false],
    ];
    for (const [list, url, isExempt] of cases) {
      for (const name of ['NO_PROXY', 'no_proxy']) {
        const proxy = href(url, { HTTPS_PROXY: P, HTTP_PROXY: P, [name]: list });
        expect(proxy, `${list} ${url}`).to.equal(isExempt ? undefined : `${P}/`);
      }
    }
  });

  it('accepts any list of names', () => {
    fc.assert(
      fc.property(fc.string(), fc.webUrl(), (list, url) => {
        expect(href(url, { ALL_PROXY: P, NO_PROXY: list })).to.be.oneOf([undefined, `${P}/`]);
      }),
    );
  });
});

describe('downloads through a proxy', () => {
  const folder = temporaryFolders();
  const REPO = 'some-lab/tiny';
  let hub: FakeHub;
  let proxy: ProxyServer;
  let address: string;
  let env: Record<string, string>;

  beforeEach(async () => {
    hub = new FakeHub();
    await hub.start();
    hub.add(REPO, { 'config.json': '{}', 'model.safetensors': 'w'.repeat(3000) }, 10_000);
    const pem = (name: string) => readFileSync(join(DATA, `hub.test.${name}.pem`));
    const tls = await hub.startTls({ key: pem('key'), cert: pem('cert') });
    const http = Number(new URL(hub.endpoint).port);
    proxy = new ProxyServer(
      new Map([
        ['hub.test:443', tls],
        ['hub.test:80', http],
      ]),
    );
    address = await proxy.start();
    env = {
      ...{ HF_TOKEN: 'hf_secret', HF_HOME: folder(), HF_HUB_OFFLINE: '', HF_HUB_CACHE: '' },
      ...{ https_proxy: '', http_proxy: '', no_proxy: '', NODE_USE_ENV_PROXY: '' },
      NODE_EXTRA_CA_CERTS: join(DATA, 'hub.test.cert.pem'),
    };
  });
  afterEach(async () => {
    await proxy.stop();
    await hub.stop();
  });

  const download = (more: Record<string, string>) =>
    runRene(['download', REPO], { env: { ...env, ...more } });

  it('tunnel https, so that the proxy never sees the token', async () => {
    const via = address.replace('//', '//ann:p%40ss@');
    const { code, stdout, stderr } = await download({
      HF_ENDPOINT: 'https://hub.test',
      https_proxy: via,
    });
    expect([code, stderr]).to.deep.equal([0, '']);
    expect(readFileSync(join(stdout.trim(), 'model.safetensors'), 'utf8')).to.equal(
      'w'.repeat(3000),
    );
    expect(new Set(proxy.requests)).to.deep.equal(new Set(['CONNECT hub.test:443']));
    const login = `Basic ${Buffer.from('ann:p@ss').toString('base64')}`;
    expect(new Set(proxy.logins)).to.deep.equal(new Set([login]));
    expect([...hub.tokens.hub]).to.deep.equal(['Bearer hf_secret']);
    expect(hub.seen.every(({ host }) => host === 'hub.test')).to.equal(true);
    expect(proxy.sent.length).to.be.above(1000);
    expect(proxy.sent).not.to.match(/hf_secret|authorization bearer/i);
  });

  it('send http requests to the proxy without a tunnel', async () => {
    const { code, stderr } = await download({
      HF_ENDPOINT: 'http://hub.test',
      http_proxy: address,
    });
    expect([code, stderr]).to.deep.equal([0, '']);
    expect(proxy.requests[0]).to.equal(`GET http://hub.test/api/models/${REPO}/revision/main`);
    expect(proxy.requests.filter((request) => request.startsWith('CONNECT'))).to.deep.equal([]);
    proxy.refusal = 502;
    const other = { HF_ENDPOINT: 'http://hub.test', http_proxy: address, HF_HOME: folder() };
    const { stderr: refused } = await download(other);
    expect(refused).to.match(
      /^error: some-lab\/tiny: .*http:\/\/hub\.test cannot be reached through the proxy/,
    );
  });

  it('go directly to hosts in no_proxy', async () => {
    const { code } = await download({
      ...{ HF_ENDPOINT: hub.endpoint, http_proxy: address, no_proxy: 'localhost,127.0.0.0/8' },
    });
    expect(code).to.equal(0);
    expect(proxy.requests).to.deep.equal([]);
  });

  it('report a refusal, a missing proxy, and an unknown certificate', async () => {
    proxy.refusal = 407;
    const through = { HF_ENDPOINT: 'https://hub.test', https_proxy: address };
    const refused = await download(through);
    expect(refused.code).to.equal(1);
    expect(refused.stderr).to.match(
      /https:\/\/hub\.test cannot be reached through the proxy .*407/,
    );
    const gone = await download({ ...through, https_proxy: 'ann:pw@127.0.0.1:1' });
    expect(gone.stderr).to.match(/through the proxy http:\/\/127\.0\.0\.1:1 \(ECONNREFUSED\)/);
    expect(gone.stderr).not.to.match(/pw/);
    proxy.refusal = undefined;
    const unknown = await download({ ...through, NODE_EXTRA_CA_CERTS: '' });
    expect(unknown.stderr).to.match(/cannot be reached .*CERT.*NODE_EXTRA_CA_CERTS/);
    expect(proxy.sent).not.to.contain('hf_secret');
  });
});
