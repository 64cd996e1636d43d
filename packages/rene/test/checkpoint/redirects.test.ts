// Redirects with Location headers in every spelling that a URL parser accepts.

import { errorOf } from '@rene-js/testing';
import { expect } from 'chai';
import fc from 'fast-check';
import { type Answer, followRedirects } from '../../src/checkpoint/redirects.js';
import { HubError } from '../../src/errors.js';

const TOKEN = 'Bearer hf_secret';

interface Request {
  url: string;
  authorization: string | null;
}

/** Follows the redirects of a server that responds with these Location headers in turn. */
async function follow(
  start: string,
  locations: readonly string[],
  status = 302,
): Promise<{ requests: Request[]; outcome: Answer | HubError }> {
  const requests: Request[] = [];
  const authorization = { origin: new URL(start).origin, value: TOKEN };
  const outcome = await followRedirects(start, {}, { authorization }, async (url, headers) => {
    const location = locations[requests.length];
    requests.push({ url, authorization: headers.get('authorization') });
    if (location === undefined) return new Response('here');
    // A server's UTF-8 is read as Latin-1.
    const bytes = Buffer.from(location).toString('latin1');
    return new Response(null, { status, headers: { location: bytes } });
  }).catch((error: unknown) => {
    if (error instanceof HubError) return error;
    throw error;
  });
  return { requests, outcome };
}

const pick = (...values: string[]) => fc.constantFrom(...values);
const slashes = fc.string({ unit: pick('/', '\\', '\t'), maxLength: 4 });
const scheme = pick(
  '',
  '',
  'https:',
  'HTTPS:',
  'http:',
  'ht\ttp:',
  'hTtP:',
  'ftp:',
  'file:',
  'data:',
);
const userinfo = pick('', '', 'hub.example@', 'hub.example:8443@', 'a:b@', '@');
const host = pick(
  ...['hub.example', 'HUB.EXAMPLE', 'hub.example.', 'evil.example', 'hub.example.evil.example'],
  ...[
    'xn--hb-xka.example',
    'hüb.example',
    'ｈｕｂ.example',
    'hub。example',
    '127.0.0.1',
    '[::1]',
    '',
  ],
);
const port = pick('', ':8443', ':443', ':80', ':08443', ':1');
const path = pick('', '/x', '/../y', '/a b', '?q=1', '#f', '/hub.example:8443');
const location = fc
  .tuple(scheme, slashes, userinfo, host, port, path)
  .map((parts) => parts.join(''))
  .filter((text) => text !== '');

describe('redirects', () => {
  it('send the token to its own origin only, and never leave https', async () => {
    const starts = pick('https://hub.example:8443/start', 'https://hub.example/start');
    await fc.assert(
      fc.asyncProperty(starts, fc.array(location, { maxLength: 4 }), async (start, locations) => {
        const { requests } = await follow(start, locations);
        for (const { url, authorization } of requests) {
          const { protocol, hostname, port, username, password } = new URL(url);
          const isHub = hostname === 'hub.example' && port === new URL(start).port;
          expect(authorization, url).to.equal(isHub ? TOKEN : null);
          expect([protocol, username, password]).to.deep.equal(['https:', '', '']);
        }
      }),
      { numRuns: 2000 },
    );
  });

  it('may go from http to https, without the token, but not back', async () => {
    const hops = ['https://hub.example/a', 'http://hub.example/b'];
    const { requests, outcome } = await follow('http://hub.example/', hops);
    expect(requests).to.deep.equal([
      { url: 'http://hub.example/', authorization: TOKEN },
      { url: 'https://hub.example/a', authorization: null },
    ]);
    expect(String(outcome)).to.match(/redirects to http:\/\/hub\.example, which is not encrypted/);
  });

  it('send the token again after a return to its origin', async () => {
    const { requests } = await follow('https://hub.example/', [
      '//cdn.example/x',
      '//hub.example/y',
    ]);
    expect(requests.map(({ authorization }) => authorization)).to.deep.equal([TOKEN, null, TOKEN]);
  });

  it('resolve relative and non-ASCII locations, for every redirect status', async () => {
    for (const status of [301, 302, 303, 307, 308]) {
      const { outcome } = await follow('https://hub.example/a/b?c', ['../d', 'ü'], status);
      expect(outcome).to.have.property('url', 'https://hub.example/%C3%BC');
    }
  });

  it('fail: too many, no address, another scheme, no Location', async () => {
    for (const bad of [
      'http://',
      'https://a b/',
      'ftp://hub.example/',
      'file:///etc/passwd',
      '//:x',
    ]) {
      const { outcome, requests } = await follow('https://hub.example/', [bad]);
      expect(String(outcome), bad).to.match(/not an http\(s\) URL/);
      expect(requests.length).to.equal(1);
    }
    const endless = Array.from({ length: 50 }, () => '/again');
    expect(String((await follow('https://hub.example/', endless)).outcome)).to.match(
      /more than 10/,
    );
    const nowhere = async () => new Response(null, { status: 302 });
    const error = await errorOf(HubError, () =>
      followRedirects('https://hub.example/', {}, {}, nowhere),
    );
    expect(error.message).to.match(/HTTP 302 without a Location/);
  });

  it('stop when the caller has found what it needs', async () => {
    const isFinal = ({ headers }: Response) => headers.has('x-linked-etag');
    const headers = { location: 'https://cdn.example/', 'x-linked-etag': '"e"' };
    const send = async () => new Response(null, { status: 302, headers });
    const { response, url } = await followRedirects('https://hub.example/', {}, { isFinal }, send);
    expect([response.status, url]).to.deep.equal([302, 'https://hub.example/']);
  });
});
