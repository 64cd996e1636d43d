// The modules that an adapter_config.json names, by PEFT's rules for names, patterns and layers.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { parseConfig } from '../../src/config.js';
import { parseAdapterConfig } from '../../src/lora/adapter_config.js';
import { planAdapter } from '../../src/lora/target_modules.js';

const DATA = fileURLToPath(new URL('../../../test/lora/data/', import.meta.url));
const base = parseConfig(JSON.parse(readFileSync(`${DATA}base/config.json`, 'utf8')));

function plan(options: Record<string, unknown>) {
  return planAdapter(base, parseAdapterConfig({ r: 2, ...options }, 'a.json'), 'a.json');
}

/** The targeted modules, without what their names share. */
function targets(options: Record<string, unknown>): string[] {
  const names = plan(options).corrections.map(({ module }) => module);
  return names.map((name) => name.replace('backbone.layers.', '').replace('.mixer', '')).sort();
}

const INS = ['0.in_proj', '1.in_proj', '2.in_proj', '3.in_proj'];
const OUTS = ['0.out_proj', '1.out_proj', '2.out_proj', '3.out_proj'];

describe('the targets of an adapter', () => {
  it('all-linear: every matrix but embedding and head, in any case, less what is excluded', () => {
    for (const target_modules of ['all-linear', 'ALL-Linear']) {
      expect(targets({ target_modules })).to.deep.equal([...INS, ...OUTS].sort());
      expect(targets({ target_modules, exclude_modules: ['out_proj'] })).to.deep.equal(INS);
      expect(targets({ target_modules, modules_to_save: ['layers.3'] })).not.to.include(
        '3.in_proj',
      );
    }
  });
});
