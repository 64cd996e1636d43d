// Commands that write a model and are stopped by a signal leave no temporary files and no incomplete folder.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { childEnv, FakeHub, golden, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const WRITER = fileURLToPath(new URL('./interrupted_child.js', import.meta.url));
const RENE = fileURLToPath(new URL('../../../bin/rene.js', import.meta.url));

describe('commands stopped by a signal', () => {
  const folder = temporaryFolders();

  for (const signal of SIGNALS) {
    it(`${signal}: removes incomplete files and new folders, keeps others`, async () => {
      const dir = folder();
      const old = join(dir, 'old');
      mkdirSync(old);
      writeFileSync(join(old, 'weights'), 'older');
      for (const out of [old, join(dir, 'new', 'inner')]) {
        const child = spawn(process.execPath, [WRITER, out], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        await once(child.stdout, 'data');
        expect(readdirSync(out).some((name) => name.endsWith('.tmp'))).to.equal(true);
        child.kill(signal);
        const [code] = await once(child, 'exit');
        expect(code).to.equal(128 + constants.signals[signal]);
      }
      expect(readdirSync(dir)).to.deep.equal(['old']);
      expect(readdirSync(old)).to.deep.equal(['weights']);
      expect(readFileSync(join(old, 'weights'), 'utf8')).to.equal('older');
    });
  }

  it("convert, quantize and download end by exit(), with the signal's exit code", async () => {
    const hub = new FakeHub();
    await hub.start();
    try {
      const weights = readFileSync(golden('tiny-options/model.safetensors'));
      const config = readFileSync(golden('tiny-options/config.json'));
      for (const [i, verb] of ['convert', 'quantize', 'download'].entries()) {
        const name = `model-${i}`;
        const repo = `some-lab/${name}`;
        hub.add(repo, { 'config.json': config, 'model.safetensors': weights });
        hub.fail(new RegExp(`GET .*${name}.*safetensors`), { stallAfter: 1000 });
        const cache = folder();
        const out = join(cache, 'out');
        const child = spawn(
          process.execPath,
          [RENE, verb, repo, ...(verb === 'download' ? [] : [out])],
          {
            stdio: 'ignore',
            env: childEnv({ HF_HUB_CACHE: cache, HF_ENDPOINT: hub.endpoint, HF_HUB_OFFLINE: '' }),
          },
        );
        const isSending = (line: string) => /^GET .*safetensors/.test(line) && line.includes(name);
        while (!hub.requests.some(isSending)) {
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        child.kill('SIGTERM');
        expect(await once(child, 'exit'), verb).to.deep.equal([143, null]);
        const left = readdirSync(cache, { recursive: true }).map(String);
        expect(left.filter((path) => /\.tmp$|out$/.test(path))).to.deep.equal([]);
      }
    } finally {
      await hub.stop();
    }
  });
});
