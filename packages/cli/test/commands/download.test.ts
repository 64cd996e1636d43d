// `rene download`: prints the folder on stdout, and a progress bar on a terminal.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { FakeHub, golden, runRene, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { modelFolder } from '../../src/commands/load.js';
import { runInProcess } from '../run_in_process.js';

const REPO = 'some-lab/tiny';
const VARIABLES = ['HF_HUB_CACHE', 'HF_ENDPOINT', 'HF_HUB_OFFLINE'] as const;

describe('rene download', () => {
  const folder = temporaryFolders();
  let hub: FakeHub;
  beforeEach(async () => {
    hub = new FakeHub();
    await hub.start();
  });
  afterEach(() => hub.stop());

  it('prints the folder of the revision, ready for generate', async () => {
    const config = readFileSync(golden('tiny-options/config.json'));
    const weights = readFileSync(golden('tiny-options/model.safetensors'));
    hub.add(REPO, { 'config.json': config, 'model.safetensors': weights });
    const cache = folder();
    const env = { HF_HUB_CACHE: cache, HF_ENDPOINT: hub.endpoint, HF_HUB_OFFLINE: '' };
    const { code, stdout, stderr } = await runRene(['download', REPO, '--revision', 'v1'], { env });
    const dir = join(cache, 'models--some-lab--tiny', 'snapshots', hub.commit);
    expect([code, stdout, stderr]).to.deep.equal([0, `${dir}\n`, '']);
    expect(readFileSync(join(dir, 'model.safetensors'))).to.deep.equal(weights);
    expect(hub.requests[0]).to.contain('/revision/v1');
  });

  it('prints the absolute path of a local folder', async () => {
    const here = folder();
    const { code, stdout } = await runInProcess(['download', relative(process.cwd(), here)]);
    expect([code, stdout]).to.deep.equal([0, `${here}\n`]);
  });

  it('refuses a URL by name', async () => {
    const { code, stdout, stderr } = await runInProcess([
      'download',
      'https://host.example/x?secret',
    ]);
    expect([code, stdout]).to.deep.equal([1, '']);
    expect(stderr).to.match(
      /^error: https:\/\/host\.example\/x: expected a model folder, .* hub id/,
    );
  });

  it('shows file, megabytes, rate and time left; bytes that were on disk do not count for the rate', async () => {
    const [first, rest] = [4_000_000, 2_000_000];
    hub.add(REPO, { 'config.json': '{}', 'model.safetensors': new Uint8Array(first + rest) });
    const env = { HF_HUB_CACHE: folder(), HF_ENDPOINT: hub.endpoint, HF_HUB_OFFLINE: '' };
    const etag = hub.etagOf(REPO, 'model.safetensors');
    const blobs = join(env.HF_HUB_CACHE, 'models--some-lab--tiny', 'blobs');
    mkdirSync(blobs, { recursive: true });
    writeFileSync(join(blobs, `${etag}.incomplete`), new Uint8Array(first));
    hub.fail(/GET \/some-lab%2Ftiny\/model/, { slowly: 1200 });
    const shown = await onTerminal(env, () => modelFolder(REPO));
    expect(shown).to.match(/model\.safetensors \[.+\] 5\/6 MB, \d+\.\d MB\/s, \S+ left/);
    // cli-progress prints INF and NULL for an unknown time.
    expect(shown).not.to.match(/NF|NULL|UL/);
    const rates = [...shown.matchAll(/ (\d+\.\d) MB\/s/g)].map(([, rate]) => Number(rate));
    // 2 MB in at least 1.2 s, or slightly more with timer jitter; not 4 MB.
    expect(Math.max(...rates)).to.be.within(0.1, 4);
  });
});

/** What is written to stderr as if it were a terminal. */
async function onTerminal(
  env: Readonly<Record<(typeof VARIABLES)[number], string>>,
  run: () => Promise<unknown>,
): Promise<string> {
  const { stderr } = process;
  const { write, isTTY, columns } = stderr;
  const saved = VARIABLES.map((name) => [name, process.env[name]] as const);
  let text = '';
  try {
    Object.assign(process.env, env);
    Object.assign(stderr, {
      isTTY: true,
      columns: 100,
      write(chunk: string) {
        text += chunk;
        return true;
      },
    });
    await run();
  } finally {
    Object.assign(stderr, { write, isTTY, columns });
    for (const [name, value] of saved) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  }
  return text;
}
