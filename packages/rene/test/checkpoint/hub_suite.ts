// A fake hub with one small model for each test of a suite, in an environment without other hubs.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { FakeHub, golden, temporaryFolders } from '@rene-js/testing';
import type { HubOptions } from '../../src/checkpoint/hub.js';

export const REPO = 'some-lab/tiny';
export const config = readFileSync(golden('tiny-options/config.json'));
export const weights = readFileSync(golden('tiny-options/model.safetensors'));

const VARIABLES = [
  ...['HF_HOME', 'HF_HUB_CACHE', 'HF_ENDPOINT', 'HF_TOKEN', 'HF_TOKEN_PATH', 'HF_HUB_OFFLINE'],
  ...['HF_HUB_DOWNLOAD_TIMEOUT', 'HF_HUB_DISABLE_IMPLICIT_TOKEN', 'HUGGING_FACE_HUB_TOKEN'],
  ...[
    'TRANSFORMERS_OFFLINE',
    'RENE_TEST_FOLDER',
    'HTTP_PROXY',
    'http_proxy',
    'ALL_PROXY',
    'all_proxy',
  ],
];

export interface HubSuite {
  hub: FakeHub;
  /** HF_HOME, initially empty. */
  home: string;
  options: HubOptions;
  /** Location of the model in the cache. */
  repoDir: string;
}

/** Starts a hub before each test, passes it on, and stops it after the test. */
export function withFakeHub(handOver: (suite: HubSuite) => void): void {
  const folder = temporaryFolders();
  const saved = new Map<string, string | undefined>();
  let hub: FakeHub;

  beforeEach(async () => {
    for (const name of VARIABLES) {
      saved.set(name, process.env[name]);
      delete process.env[name];
    }
    const home = folder();
    process.env.HF_HOME = home;
    hub = new FakeHub();
    await hub.start();
    hub.add(REPO, { 'config.json': config, 'model.safetensors': weights, 'README.md': 'x' });
    const repoDir = join(home, 'hub', 'models--some-lab--tiny');
    handOver({ hub, home, repoDir, options: { endpoint: hub.endpoint, retryDelay: 1 } });
  });

  afterEach(async () => {
    await hub.stop();
    for (const [name, value] of saved) {
      if (value === undefined) delete process.env[name];
      else process.env[name] = value;
    }
  });
}
