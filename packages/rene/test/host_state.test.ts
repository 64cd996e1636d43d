// States in host memory: restored without copies in between, and never changed by what continues from them.
import { useBackend } from '@rene-js/layers';
import type { ReadTensor } from '@rene-js/layers/internal';
import { goldenPath } from '@rene-js/testing';
import { expect } from 'chai';
import { HostState, toHost } from '../src/host_state.js';
import { AutoModelForCausalLM, type CausalLM } from '../src/index.js';

const IDS = Array.from({ length: 40 }, (_, i) => (i * 31 + i * i) % 90);

describe('HostState', () => {
  after(() => useBackend('cpu'));

  const bytesOf = (host: HostState) =>
    host.tensors().map(([name, { bytes }]) => [name, Buffer.from(bytes).toString('hex')]);

  async function continued(model: CausalLM, host: HostState): Promise<readonly number[]> {
    const state = await host.restore();
    const values: number[] = [];
    for (const ids of [[3, 1, 4, 1, 5], [9], [2]]) {
      const logits = model.forward([ids], { state });
      values.push(...(await logits.data()));
      logits.dispose();
    }
    state.dispose();
    return values;
  }

  for (const [backend, dtype] of [
    ['cpu', 'f32'],
    ['simd', 'f32'],
    ['simd', 'bf16'],
  ] as const) {
    it(`restores the same state any number of times: ${backend}, ${dtype}`, async () => {
      const dir = goldenPath('tiny-hybrid');
      const model = await AutoModelForCausalLM.fromPretrained(dir, { backend, dtype });
      const state = await model.prefill(IDS);
      const host = await toHost(state);
      const before = bytesOf(host);
      const first = await continued(model, host);
      expect(await continued(model, host)).to.deep.equal(first);
      expect(bytesOf(host)).to.deep.equal(before);
      const again = await host.restore();
      expect(bytesOf(await toHost(again))).to.deep.equal(before);
      for (const each of [state, again]) each.dispose();
      model.dispose();
    });
  }

  it('gives layers its own memory: f32 as it is, bf16 without widening it', async () => {
    const options = { backend: 'simd', dtype: 'bf16' } as const;
    const model = await AutoModelForCausalLM.fromPretrained(goldenPath('tiny-hybrid'), options);
    const state = await model.prefill(IDS);
    const stored = (await toHost(state)).tensors();
    const readers: ((block: number) => ReadTensor)[] = [];
    const owner = {
      fingerprint: () => model.fingerprint(),
      async restoreLayers(read: (block: number) => ReadTensor, positions: readonly number[]) {
        readers.push(read);
        return model.restoreLayers(read, positions);
      },
    };
    (await HostState.fromTensors(stored, state.positions, owner).restore()).dispose();
    for (const [name, { dtype, bytes }] of stored) {
      const [block = '', tensor = ''] = name.split('.');
      const { bf16, values } = (await readers[0]?.(Number(block))(tensor)) ?? {};
      if (dtype === 'BF16') expect(bf16, name).to.equal(bytes);
      else expect(values?.buffer, name).to.equal(bytes.buffer);
    }
    expect(new Set(stored.map(([, { dtype }]) => dtype))).to.deep.equal(new Set(['F32', 'BF16']));
    state.dispose();
    model.dispose();
  });
});
