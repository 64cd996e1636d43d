// llama.cpp's side of the comparison: greedy decoding through node-llama-cpp's evaluate(). Plain JavaScript,
// since the package and its types are installed here only on request.
import { getLlama, LlamaLogLevel } from 'node-llama-cpp';
import { serve, timeTokens } from '../dist/node-llama-cpp/side.js';

const [modelPath = '', threadCount = '2', contextSize = '1024'] = process.argv.slice(2);
const threads = Number(threadCount);
const start = performance.now();
const llama = await getLlama({
  gpu: false,
  build: 'never',
  maxThreads: threads,
  logLevel: LlamaLogLevel.error,
});
const model = await llama.loadModel({ modelPath, gpuLayers: 0 });
const context = await model.createContext({
  contextSize: Number(contextSize),
  batchSize: 512,
  sequences: 1,
  threads: { ideal: threads, min: threads },
});
const sequence = context.getSequence();
serve((performance.now() - start) / 1000, async ({ prompt, tokens }) => {
  await sequence.clearHistory();
  const times = await timeTokens(
    sequence.evaluate(prompt, { temperature: 0, yieldEogToken: true }),
    tokens,
  );
  return { ...times, readBandwidth: 0, peakBytes: process.resourceUsage().maxRSS * 1024 };
});
