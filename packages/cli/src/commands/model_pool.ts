// The further models of `rene serve`: --lora NAME=DIR and --add-model NAME=MODEL.
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { freeMemory } from '@rene-js/layers/internal';
import { readModelConfig } from '@rene-js/rene';
import { countParameters, modelParameters, openAdapter } from '@rene-js/rene/internal';
import { ModelPool, type PooledModel } from '../serving/model_pool.js';
import { modelFolder } from './load.js';
import { UsageError } from './report_error.js';
import type { ServeOptions } from './serve_options.js';
import { type ServingOptions, startServingModel } from './serving_model.js';

/** NAME=VALUE; a value alone has no name. */
export function splitName(text: string): { name: string | undefined; value: string } {
  const [, name, value] = /^([\w.:-]+)=(.+)$/.exec(text) ?? [];
  return value === undefined ? { name: undefined, value: text } : { name, value };
}

/**
 * @param main the main model
 * @returns undefined if there are no further models
 * @throws UsageError if a name occurs twice, or a model does not fit alone; CheckpointError, HubError for an
 *   adapter that does not fit its model
 */
export async function modelPool(
  main: { model: string; name: string },
  options: ServeOptions,
): Promise<ModelPool | undefined> {
  const specs = [
    ...options.lora
      .map((text) => ({ ...splitName(text), isAdapter: true }))
      .filter(({ name }) => name !== undefined),
    ...options.addModel.map((text) => ({ ...splitName(text), isAdapter: false })),
  ].map(({ name, ...spec }) => {
    if (name !== undefined) return { name, ...spec };
    throw new UsageError(`--add-model: expected NAME=MODEL, found '${spec.value}'`);
  });
  if (specs.length === 0) return undefined;
  const names = [main.name, ...specs.map(({ name }) => name)];
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) {
    throw new UsageError(`expected each model's name once, found '${twice}' twice`);
  }
  const { dtype } = options;
  const free = freeMemory() - (await weightBytes(await modelFolder(main.model), dtype, false));
  const { modelsBytes = Math.max(0, Math.floor(free * SHARE)) } = options;
  const entries: PooledModel[] = [];
  for (const { name, value, isAdapter } of specs) {
    const model = isAdapter ? main.model : value;
    const dir = await modelFolder(model);
    const bytes = await weightBytes(dir, dtype, isAdapter);
    if (bytes > modelsBytes) {
      const mebibytes = Math.ceil(bytes / 2 ** 20);
      throw new UsageError(
        `--models-bytes: '${name}' needs about ${mebibytes} MiB, which is more than ${modelsBytes} bytes`,
      );
    }
    if (isAdapter) await (await openAdapter(value, await readModelConfig(dir))).close();
    const { prefixCacheBytes, lora: _, ...others } = options;
    const own: ServingOptions = {
      ...others,
      prefixCacheBytes: prefixCacheBytes ?? POOLED_CACHE,
      servedModelName: name,
      ...(isAdapter && { lora: value }),
    };
    entries.push({ name, bytes, load: () => loadPooled(model, own) });
  }
  return new ModelPool(entries, modelsBytes);
}

/** Share of the memory that the main model leaves free, for the weights of further models. */
const SHARE = 0.6;
/** Bytes of the states of prompts that each of them keeps. */
const POOLED_CACHE = 256 * 2 ** 20;

async function loadPooled(name: string, options: ServingOptions) {
  const model = await startServingModel(name, options);
  const close = async () => {
    await Promise.all([model.engine.close(), model.encoder.close()]);
  };
  return { ...model, close };
}

const DTYPE_BYTES: Readonly<Record<string, number>> = { f32: 4, bf16: 2, int8: 1.1, int4: 0.6 };

/**
 * Bytes of a model's weights in memory, about: the files' unless a dtype is given. Quantised weights are widened
 * to bf16 under an adapter.
 */
async function weightBytes(dir: string, dtype = 'auto', isAdapter: boolean): Promise<number> {
  const each = DTYPE_BYTES[dtype];
  const parameters = countParameters(modelParameters(await readModelConfig(dir)));
  if (each !== undefined) return Math.ceil(each * parameters);
  let bytes = 0;
  for (const name of await readdir(dir)) {
    if (/\.(safetensors|bin)$/.test(name)) bytes += (await stat(join(dir, name))).size;
  }
  return isAdapter ? Math.max(bytes, 2 * parameters) : bytes;
}
