// Waits that servers request, and that clients respect them.

import { errorOf, type FakeHub } from '@rene-js/testing';
import { expect } from 'chai';
import type { HubOptions } from '../../src/checkpoint/hub.js';
import { secondsToWait } from '../../src/checkpoint/rate_limit.js';
import { resolveModel } from '../../src/checkpoint/resolve.js';
import { TransientError, withRetries } from '../../src/checkpoint/retries.js';
import { HubError } from '../../src/errors.js';
import { REPO, withFakeHub } from './hub_suite.js';

describe('rate limits', () => {
  it('are read from every header that servers use', () => {
    const now = Date.UTC(2026, 0, 2, 3, 4, 5);
    const cases: [Record<string, string>, number | undefined][] = [
      [{}, undefined],
      [{ 'retry-after': '7' }, 7],
      [{ 'retry-after': ' 0.5 ' }, 0.5],
      [{ 'retry-after': 'Fri, 02 Jan 2026 03:04:35 GMT' }, 30],
      [{ 'retry-after': 'Fri, 02 Jan 2026 03:00:00 GMT' }, 0],
      [{ 'retry-after': 'soon' }, undefined],
      [{ 'retry-after': '-5' }, undefined],
      [{ 'retry-after': '7', ratelimit: '"api";r=0;t=25' }, 7],
      [{ ratelimit: '"api";r=0;t=25' }, 25],
      [{ ratelimit: '"api, t=9; pages";r=0;t=25' }, 25],
      [{ ratelimit: '"a";r=10;t=200, "b";r=0;t=3, "c";r=0;t=5' }, 5],
      [{ ratelimit: '"a";r=10;t=20,"b";r=1;t=3' }, 20],
      [{ ratelimit: 'default; t=12; r=0' }, 12],
      [{ ratelimit: 'limit=100, remaining=0, reset=50' }, 50],
      [{ ratelimit: '"t=5"' }, undefined],
      [{ 'ratelimit-reset': '40' }, 40],
      [{ 'x-ratelimit-reset': `${now / 1000 + 90}` }, 90],
    ];
    for (const [headers, seconds] of cases) {
      expect(secondsToWait(new Headers(headers), now), JSON.stringify(headers)).to.equal(seconds);
    }
  });

  it('are waited for without using up the retries, up to a sum of one window', async () => {
    const waits = (...seconds: (number | undefined)[]) => {
      const left = [...seconds];
      return async () => {
        if (left.length === 0) return 'done';
        throw new TransientError('busy', left.shift(), { status: 429 });
      };
    };
    const notices: string[] = [];
    const controller = new AbortController();
    const onNotice = (notice: string) => {
      notices.push(notice);
      if (notices.length > 2) controller.abort(new Error('it waits longer than a window'));
    };
    const habits = { retryDelay: 1, onNotice, signal: controller.signal };
    const [patient, error] = await Promise.all([
      withRetries(habits, waits(1, undefined), { maxTries: 2 }),
      errorOf(HubError, () => withRetries(habits, waits(1, 329.5))),
    ]);
    expect(patient).to.equal('done');
    expect(error.message).to.equal('busy (it asks to wait 330 s: try again then)');
    expect(notices.length).to.equal(2);
  });

  describe('of a hub', () => {
    let hub: FakeHub;
    let options: HubOptions;
    let notices: string[];

    withFakeHub((suite) => {
      ({ hub } = suite);
      notices = [];
      options = { ...suite.options, onNotice: (notice) => notices.push(notice) };
    });

    const limited = (seconds: number, status = 429) => ({
      status,
      headers: { ratelimit: `"api";r=0;t=${seconds}` },
    });

    it('are respected, with a notice, for each kind of request', async () => {
      hub.fail(/GET \/api/, limited(1));
      hub.fail(/HEAD .*config/, limited(1, 503));
      hub.fail(/GET \/some-lab%2F/, limited(1));
      const start = performance.now();
      await resolveModel(REPO, options);
      expect(performance.now() - start).to.be.above(2900);
      expect(notices.length).to.equal(3);
      expect(notices[0]).to.match(/slow down \(HTTP 429\): waiting 1 s, as requested/);
      expect(notices[1]).to.match(
        /config\.json: the server has a problem \(HTTP 503\): waiting 1 s/,
      );
    });

    it('are respected for a whole window', async () => {
      hub.fail(/GET \/api/, limited(300));
      const enough = new Error('enough');
      const controller = new AbortController();
      options.onNotice = (notice) => {
        notices.push(notice);
        controller.abort(enough);
      };
      const aborted = resolveModel(REPO, { ...options, signal: controller.signal });
      expect(await aborted.catch((error: unknown) => error)).to.equal(enough);
      expect(notices[0]).to.match(/waiting 300 s/);
    });

    it('longer than a window are an error with the waiting time', async () => {
      hub.fail(/GET \/api/, limited(3600));
      const error = await errorOf(HubError, () => resolveModel(REPO, options));
      expect(error.message).to.match(/HTTP 429\) \(it asks to wait 3600 s: try again then\)/);
      expect(error.status).to.equal(429);
      expect(notices).to.deep.equal([]);
    });

    it('are not waited for if the cache has a copy', async () => {
      const dir = await resolveModel(REPO, options);
      hub.fail(/GET \/api/, limited(300));
      expect(await resolveModel(REPO, options)).to.equal(dir);
      expect(notices.join()).to.match(/using the copy of some-lab\/tiny in the cache/);
    });
  });
});
