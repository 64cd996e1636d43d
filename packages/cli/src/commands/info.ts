// `rene info`: a model's blocks, parameters and files, and the backend that it would run on.
import { useBackend } from '@rene-js/layers';
import { readModelConfig } from '@rene-js/rene';
import {
  architectureOf,
  type Checkpoint,
  countParameters,
  fileExists,
  modelConfigToJson,
  modelParameters,
  openCheckpoint,
  packageVersion,
  stringifyJson,
  summarize,
} from '@rene-js/rene/internal';
import { version_core as tfjsVersion } from '@tensorflow/tfjs-core';
import type { InfoOptions } from './info_options.js';
import { chosenModel, modelFolder } from './load.js';

export async function runInfo(argument: string | undefined, options: InfoOptions): Promise<void> {
  const name = chosenModel(argument, options.model);
  const dir = await modelFolder(name, options.revision);
  const config = await readModelConfig(dir);
  const specs = modelParameters(config);
  const tokenizer = `${dir}/tokenizer.json`;
  const backend = await useBackend(options.backend);
  const facts = {
    model: dir,
    architecture: architectureOf(config).title,
    parameters: countParameters(specs),
    dtype: await storedDTypes(dir),
    vocabSize: config.vocabSize,
    tokenizer: options.tokenizer ?? ((await fileExists(tokenizer)) ? tokenizer : null),
    backend,
    ...(backend === 'webgpu' && (await adapterFacts())),
    versions: {
      rene: packageVersion(),
      tfjs: tfjsVersion,
      node: process.versions.node,
      platform: `${process.platform}-${process.arch}`,
    },
  };
  if (options.json) {
    process.stdout.write(stringifyJson({ ...facts, config: modelConfigToJson(config) }));
    return;
  }
  for (const line of summarize(config, specs)) console.log(line);
  const { versions, ...others } = facts;
  console.log();
  for (const [name, value] of [...Object.entries(others), ...Object.entries(versions)]) {
    const shown = typeof value === 'number' ? value.toLocaleString('en-US') : (value ?? 'none');
    console.log(`${name.padEnd(14)}${shown}`);
  }
}

/** The GPU, its limits and its features. */
async function adapterFacts() {
  const { webGpuInfo } = await import('@rene-js/layers/webgpu');
  const { name, isSoftware, features, limits } = webGpuInfo();
  const sizes = Object.entries(limits).map(([limit, value]) => `${limit} ${value}`);
  return {
    adapter: isSoftware ? `${name}, software` : name,
    features: features.join(', ') || 'none',
    limits: sizes.join(', '),
  };
}

/** The dtypes of the tensors in the files, e.g. 'BF16, F32'. */
async function storedDTypes(dir: string): Promise<string> {
  let checkpoint: Checkpoint | undefined;
  try {
    checkpoint = await openCheckpoint(dir);
    const { names, info } = checkpoint;
    return [...new Set(names.map((name) => info(name).dtype))].sort().join(', ');
  } finally {
    await checkpoint?.close();
  }
}
