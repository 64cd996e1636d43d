// The further models of `rene serve`: --lora NAME=DIR and --add-model NAME=MODEL.
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { freeMemory } from '@rene-js/layers/internal';
import { readModelConfig } from '@rene-js/rene';
import {
  changedParameters,
  countParameters,
  modelParameters,
  openAdapter,
} from '@rene-js/rene/internal';
import { ModelPool, type PooledModel } from '../serving/model_pool.js';
import { modelFolder } from './load.js';
import { UsageError } from './report_error.js';
import type { ServeOptions } from './serve_options.js';
import { type ServingModel, type ServingOptions, startServingModel } from './serving_model.js';

/** NAME=VALUE; a value alone has no name. */
export function splitName(text: string): { name: string | undefined; value: string } {
  const [, name, value] = /^([\w.:-]+)=(.+)$/.exec(text) ?? [];
  return value === undefined ? { name: undefined, value: text } : { name, value };
}

/** A model that is not loaded yet. */
interface FurtherModel {
  name: string;
  /** Memory that it takes besides the main model's, about. */
  bytes: number;
  load(main: ServingModel): ReturnType<PooledModel['load']>;
}

/** Further models that fit their bound. */
export interface FurtherModels {
  models: readonly FurtherModel[];
  maxBytes: number;
}

/**
 * Checks the further models of a server before its main model is loaded.
 *
 * @param main the main model
 * @throws UsageError if a name occurs twice, or a model does not fit alone; CheckpointError, HubError for an
 *   adapter that does not fit its model
 */
export async function furtherModels(
  main: { model: string; name: string },
  options: ServeOptions,
): Promise<FurtherModels> {
  const specs = [
    ...options.lora
      .map((text) => ({ ...splitName(text), isAdapter: true }))
      .filter(({ name }) => name !== undefined),
    ...options.addModel.map((text) => ({ ...splitName(text), isAdapter: false })),
  ].map(({ name, ...spec }) => {
    if (name !== undefined) return { name, ...spec };
    throw new UsageError(`--add-model: expected NAME=MODEL, found '${spec.value}'`);
  });
  if (specs.length === 0) return { models: [], maxBytes: 0 };
  const names = [main.name, ...specs.map(({ name }) => name)];
  const twice = names.find((name, i) => names.indexOf(name) < i);
  if (twice !== undefined) {
    throw new UsageError(`expected each model's name once, found '${twice}' twice`);
  }
  const { dtype, revision } = options;
  const dir = await modelFolder(main.model, revision);
  const free = freeMemory() - (await modelBytes(dir, dtype));
  const { modelsBytes: maxBytes = Math.max(0, Math.floor(free * SHARE)) } = options;
  const base = options.lora.find((text) => splitName(text).name === undefined);
  const models: FurtherModel[] = [];
  for (const { name, value, isAdapter } of specs) {
    const model: FurtherModel = isAdapter
      ? {
          name,
          bytes: await adapterBytes(dir, value, { dtype, base }),
          load: (served) => loadAdapter(served, value, name, options),
        }
      : {
          name,
          bytes: await modelBytes(await modelFolder(value), dtype),
          load: () => loadPooled(value, name, options),
        };
    if (model.bytes > maxBytes) {
      const mebibytes = Math.ceil(model.bytes / 2 ** 20);
      throw new UsageError(
        `--models-bytes: '${name}' needs about ${mebibytes} MiB, which is more than ${maxBytes} bytes`,
      );
    }
    models.push(model);
  }
  return { models, maxBytes };
}

/** @returns undefined if there are no further models */
export function modelPool(
  { models, maxBytes }: FurtherModels,
  main: ServingModel,
): ModelPool | undefined {
  if (models.length === 0) return undefined;
  const entries = models.map(({ name, bytes, load }) => ({ name, bytes, load: () => load(main) }));
  return new ModelPool(entries, maxBytes);
}

/** Share of the memory that the main model leaves free, for the weights of further models. */
const SHARE = 0.6;
/** Bytes of the states of prompts that each of them keeps. */
const POOLED_CACHE = 256 * 2 ** 20;

async function loadPooled(model: string, name: string, options: ServeOptions) {
  const { lora: _, prefixCacheBytes = POOLED_CACHE, ...others } = options;
  const own: ServingOptions = { ...others, prefixCacheBytes, servedModelName: name };
  const served = await startServingModel(model, own);
  const close = async () => {
    await Promise.all([served.engine.close(), served.encoder.close()]);
  };
  return { ...served, close };
}

/** An adapter runs in the main model's thread and shares its tokenizer. */
async function loadAdapter(main: ServingModel, lora: string, name: string, options: ServeOptions) {
  const { prefixCacheBytes = POOLED_CACHE } = options;
  const engine = await main.engine.addAdapter({ lora, prefixCacheBytes });
  return { ...main, engine, modelName: name, close: () => engine.close() };
}

const DTYPE_BYTES: Readonly<Record<string, number>> = { f32: 4, bf16: 2, int8: 1.1, int4: 0.6 };

/** Bytes of a model's weights in memory, about: the files' unless a dtype is given. */
async function modelBytes(dir: string, dtype = 'auto'): Promise<number> {
  const each = DTYPE_BYTES[dtype];
  if (each === undefined) return fileBytes(dir);
  return Math.ceil(each * countParameters(modelParameters(await readModelConfig(dir))));
}

/**
 * Bytes of the weights that an adapter changes, about. Quantised ones are widened to bf16 unless a dtype is
 * given.
 *
 * @param base the adapter of the main model, whose changes are not shared either
 * @throws CheckpointError, HubError for an adapter that does not fit
 */
async function adapterBytes(
  dir: string,
  lora: string,
  { dtype = 'auto', base }: { dtype?: string | undefined; base: string | undefined },
): Promise<number> {
  const config = await readModelConfig(dir);
  const open: Awaited<ReturnType<typeof openAdapter>>[] = [];
  try {
    const adapter = await openAdapter(lora, config);
    open.push(adapter);
    if (base !== undefined) open.push(await openAdapter(base, config));
    const values = countParameters(changedParameters(config, adapter, open.slice(1)));
    const all = countParameters(modelParameters(config));
    const each = DTYPE_BYTES[dtype] ?? Math.max(2, (await fileBytes(dir)) / all);
    return Math.ceil(each * values);
  } finally {
    for (const adapter of open) await adapter.close();
  }
}

async function fileBytes(dir: string): Promise<number> {
  let bytes = 0;
  for (const name of await readdir(dir)) {
    if (/\.(safetensors|bin)$/.test(name)) bytes += (await stat(join(dir, name))).size;
  }
  return bytes;
}
