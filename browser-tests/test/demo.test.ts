// The demo page of examples/web, built: loads a model, writes, and does so again without a network.
import { cp, mkdir, readdir, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { viteBuild } from '../harness/bundlers.js';
import { openPage, type TestPage } from '../harness/chromium.js';
import { repository } from '../harness/project.js';
import { type StaticServer, serve } from '../harness/static_server.js';
import { describeInChromium } from '../harness/suite.js';

/** A folder for pictures of the page. Default: none are taken. */
const pictures = process.env.RENE_PICTURES;

describeInChromium('the demo page', (suite) => {
  let server: StaticServer;
  let tab: TestPage;

  before(async () => {
    const project = await suite().projects.add('demo', {});
    const source = join(repository, 'examples/web');
    for (const name of await readdir(source)) {
      if (name === 'node_modules' || name === 'dist') continue;
      await cp(join(source, name), join(project, name), { recursive: true });
    }
    const modules = join(project, 'node_modules');
    await mkdir(modules);
    for (const name of ['@rene-js', '@tensorflow']) {
      await symlink(join(suite().projects.modules, name), join(modules, name));
    }
    await symlink(join(repository, 'browser-tests/node_modules/vite7'), join(modules, 'vite'));
    server = await serve(await viteBuild('vite7')(project), { isolated: true });
    tab = await openPage(`${server.origin}/`);
    await tab.page.setViewportSize({ width: 1100, height: 900 });
  });
  after(async () => {
    await tab?.close();
    server?.close();
  });

  const status = () => tab.page.locator('#status').textContent();
  const output = () => tab.page.locator('#output').textContent();

  async function load(): Promise<void> {
    await tab.page.click('#load');
    await tab.page.waitForFunction(() =>
      /^Ready|Error/.test(document.getElementById('status')?.textContent ?? ''),
    );
    expect(await status(), tab.messages.join('\n')).to.match(/^Ready after [\d.]+ s, on simd/);
  }

  async function write(): Promise<string | null> {
    await tab.page.evaluate(() => document.querySelector('details')?.setAttribute('open', ''));
    await tab.page.fill('#seed', '3');
    await tab.page.fill('#tokens', '90');
    await tab.page.click('#generate');
    await tab.page.waitForSelector('#stop:not([hidden])', { state: 'attached' }).catch(() => {});
    await tab.page.waitForSelector('#stop[hidden]', { state: 'attached' });
    return output();
  }

  it('loads a model, writes, and keeps both for use without a network', async () => {
    await tab.page.selectOption('#backend', 'simd');
    await load();
    const text = await write();
    expect(text).to.match(/^A lighthouse is./);
    expect(await tab.page.locator('#speed').textContent()).to.match(/tokens\/s, first token after/);
    expect(await tab.page.locator('#kept').textContent()).to.match(/rene-tiny/);
    for (const [name, width, height] of [
      ['browser-desktop', 1100, 980],
      ['browser-phone', 390, 1250],
    ] as const) {
      if (!pictures) break;
      await tab.page.setViewportSize({ width, height });
      await tab.page.emulateMedia({ colorScheme: width < 500 ? 'dark' : 'light' });
      await tab.page.screenshot({ path: join(pictures, `${name}.png`), fullPage: true });
    }
    await tab.page.waitForFunction(() => navigator.serviceWorker.controller !== null);
    await tab.page.context().setOffline(true);
    server.close();
    await tab.page.reload();
    expect(await status()).to.equal('No model is loaded.');
    await tab.page.selectOption('#backend', 'simd');
    await load();
    expect(await write()).to.equal(text);
  });

  it('has no line wider than a phone', async () => {
    await tab.page.setViewportSize({ width: 390, height: 800 });
    const { width, screen } = await tab.page.evaluate(() => ({
      width: document.documentElement.scrollWidth,
      screen: innerWidth,
    }));
    expect(width).to.be.at.most(screen);
  });
});
