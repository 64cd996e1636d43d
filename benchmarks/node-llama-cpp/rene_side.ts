// This project's side of the comparison: random weights, greedy decoding through model.stream.

import { randomConfigs, randomModel } from '@rene-js/cli/bench';
import type { WeightFormat } from '@rene-js/layers';
import { useBackend } from '@rene-js/layers';
import { measureReadBandwidth } from '@rene-js/layers/simd';
import { serve, timeTokens } from './side.js';

const formats: readonly WeightFormat[] = ['bf16', 'int8', 'int4'];
const format = formats.find((name) => name === process.argv[3]);
const config = randomConfigs[process.argv[2] ?? '']?.();
if (!config || !format) throw new Error(`expected a model and one of ${formats.join(', ')}`);

const start = performance.now();
await useBackend('simd');
const model = await randomModel(config, { format });
/** Before the probe allocates memory. */
let peakBytes = 0;
serve((performance.now() - start) / 1000, async ({ prompt, tokens }) => {
  const times = await timeTokens(
    model.stream(prompt, { maxNewTokens: tokens + 1, eosTokenId: null }),
    tokens,
  );
  peakBytes ||= process.resourceUsage().maxRSS * 1024;
  return { ...times, readBandwidth: measureReadBandwidth(512 << 20, 3), peakBytes };
});
