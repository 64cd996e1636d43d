// verify() passes on the hybrids' references, which the transformers library's code computed: on `simd` with
// config.json in the older spelling of most files on the hub. rene/test/architectures/configs.test.ts compares both.
import { cp } from 'node:fs/promises';
import { join } from 'node:path';
import { backends, goldenPath, startBackend, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { defaultTolerances, passed } from '../../src/verify/check.js';
import { verify } from '../../src/verify/verify.js';

const folders = [
  ...['bamba', 'falcon-h1', 'falcon-h1-norm-tied', 'granite-h-rope'],
  ...['mamba2-hf-bf16-tied-groups', 'nemotron-h'],
];

for (const backend of new Set([...backends, 'simd'])) {
  describe(`verify on hybrids, ${backend}`, () => {
    const newFolder = temporaryFolders();
    before(() => startBackend(backend));

    for (const name of folders) {
      it(name, async () => {
        const folder =
          backend === 'simd' ? await olderSpelling(name) : goldenPath(`hybrids/${name}`);
        const options = { tolerances: defaultTolerances, relative: false };
        const names: string[] = [];
        for await (const check of verify(folder, options, { backend })) {
          expect(passed(check), `${check.name}: ${check.error}, ${check.detail}`).to.equal(true);
          names.push(check.name);
        }
        expect(names).to.deep.equal([
          ...['hidden states', 'logits', 'prefill logits', 'decode logits', 'greedy ids'],
          'generated sequences',
        ]);
      });
    }

    async function olderSpelling(name: string): Promise<string> {
      const golden = goldenPath(`hybrids/${name}`);
      const folder = join(await newFolder(), name);
      await cp(golden, folder, { recursive: true });
      await cp(join(golden, 'config_hub.json'), join(folder, 'config.json'));
      return folder;
    }
  });
}
