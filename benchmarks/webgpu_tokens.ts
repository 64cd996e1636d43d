// Decode steps on 'webgpu' whose cost on the CPU is measured, in Node and in a page: the 48 blocks of Rene at a
// small width, since the cost does not depend on the width.
import { ReneLMHeadModel, reneConfig } from '@rene-js/rene';

export const config = reneConfig({
  ...{ dModel: 64, nLayer: 48, vocabSize: 512, eosTokenId: 39 },
  ssm: { headDim: 8, dState: 8 },
  attnLayerIdx: [6, 18, 30, 42],
  attn: { numHeads: 2, slidingWindowLength: 8 },
  mlpLayerIdx: Array.from({ length: 16 }, (_, i) => 3 * i + 2),
});

export function loadModel(): Promise<ReneLMHeadModel> {
  return ReneLMHeadModel.fromConfig(config, { backend: 'webgpu', dtype: 'int4' });
}

interface Decoding {
  /**
   * @param mark called before and after each token is encoded and submitted
   * @returns milliseconds that this took
   */
  decode(tokens: number, mark?: (name: string) => void): Promise<number[]>;
  dispose(): void;
}

/** Greedy decoding of some sequences, which has run for a few tokens. */
export async function startDecoding(model: ReneLMHeadModel, rows: number): Promise<Decoding> {
  const state = model.initialState(rows);
  const step = model.compileStep(rows);
  if (!step?.sample) throw new Error('no step');
  for (let row = 0; row < rows; row++) step.join(state.layers, row, 0);
  const params = Array.from({ length: rows }, () => {
    return { random: 0, temperature: 0, topK: 0, topP: 1, minP: 0 };
  });
  let next = params.map(() => 1);
  const decode = async (tokens: number, mark?: (name: string) => void) => {
    const times: number[] = [];
    for (let i = 0; i < tokens; i++) {
      mark?.('start');
      const start = performance.now();
      // As generate does it: the next step is encoded before the tokens of this one are read.
      const sampled = step.sample?.(next, params, params);
      times.push(performance.now() - start);
      mark?.('end');
      next = (await sampled) ?? next;
    }
    return times;
  };
  await decode(20);
  return {
    decode,
    dispose: () => {
      step.dispose();
      state.dispose();
    },
  };
}

/** The least, the median and the upper quartile, in the unit of the times. Other processes lengthen the later ones. */
export function quartiles(times: readonly number[]): string {
  const sorted = times.toSorted((a, b) => a - b);
  return [0, 0.5, 0.75]
    .map((part) => (sorted[Math.floor(part * sorted.length)] ?? 0).toFixed(0))
    .join(', ');
}
