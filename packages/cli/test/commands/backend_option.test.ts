// The names that --backend takes.
import { useBackend } from '@rene-js/layers';
import { expect } from 'chai';
import { BACKENDS } from '../../src/commands/backend_option.js';
import { chosenBackend } from '../../src/commands/eval_model_choice.js';
import { UsageError } from '../../src/commands/report_error.js';
import { runInProcess } from '../run_in_process.js';

describe('--backend', () => {
  it('takes the names that the library knows', async () => {
    const error: unknown = await useBackend('abacus').catch((reason: unknown) => reason);
    const [, known = ''] = /one of (.*), found 'abacus'$/.exec(String(error)) ?? [];
    expect(known.split(', ').sort()).to.deep.equal([...BACKENDS].sort());
  });

  const commands = [
    ...['batch in.jsonl out.jsonl', 'bench', 'chat', 'eval --tasks hellaswag', 'generate x'],
    ...['info', 'serve', 'train --data x.txt --out y', 'verify'],
  ];
  for (const command of commands) {
    it(`refuses another name as wrong usage in rene ${command}`, async () => {
      for (const name of ['abacus', 'SIMD', 'constructor', 'cpu,simd']) {
        const args = [...command.split(' '), '--backend', name];
        const { code, stdout, stderr } = await runInProcess(args);
        expect(stderr).to.match(/^error: --backend: expected one of auto, cpu, .*\n$/);
        expect(stderr).to.include(`, found ${name} (see rene `);
        expect([code, stdout]).to.deep.equal([2, '']);
      }
    });
  }

  it('refuses another name in --model_args of rene eval', () => {
    for (const backend of ['abacus', 'constructor']) {
      expect(() => chosenBackend({}, { backend })).to.throw(
        UsageError,
        /^--model_args: backend: expected one of auto, .*, found /,
      );
    }
    expect(chosenBackend({}, { backend: 'causal' })).to.equal('auto');
    expect(chosenBackend({}, { backend: 'simd' })).to.equal('simd');
    expect(chosenBackend({ backend: 'cpu' }, { backend: 'simd' })).to.equal('cpu');
  });
});
