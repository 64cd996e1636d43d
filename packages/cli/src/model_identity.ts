// Hashes that identify a model, so that results and states of different models are not mixed.
import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { CausalLM } from '@rene-js/rene';
import { adapterFolder } from '@rene-js/rene/internal';
import * as tf from '@tensorflow/tfjs-core';
import { modelHash } from './evaluation/model_hash.js';

/** The dtype of a model's matrices, e.g. 'bf16'. */
export function dtypeOf({ parameters }: Pick<CausalLM, 'parameters'>): string {
  const formats = [...parameters.values()].flatMap((parameter) =>
    parameter instanceof tf.Tensor ? [] : [parameter.format],
  );
  return [...new Set(formats)].sort().join('+') || 'f32';
}

/** A hash of an adapter's files; of its URL for one on the web. */
export async function adapterHash(lora: string): Promise<string> {
  return /^https?:/.test(lora) ? lora : modelHash(await adapterFolder(lora), []);
}

/**
 * A hash of all that a state depends on: the model's files, the dtype, the backend and the adapter.
 *
 * @param dir the model's folder
 */
export async function stateIdentity(
  dir: string,
  model: Pick<CausalLM, 'parameters' | 'backend'>,
  lora: string | undefined,
): Promise<string> {
  const adapter = lora === undefined ? '' : await adapterHash(lora);
  return modelHash(dir, ['states', model.backend, dtypeOf(model), adapter]);
}

/** What results depend on besides the model's folder. */
export interface ResultSettings {
  dtype: string;
  tokenizerPath: string;
  lora: string | undefined;
  chatTemplate: string | undefined;
}

/**
 * A hash of all that results depend on, the same on every machine: the model's files, the dtype, the
 * tokenizer, the adapter and the chat template.
 *
 * @param dir the model's folder
 */
export async function resultIdentity(dir: string, settings: ResultSettings): Promise<string> {
  const { dtype, tokenizerPath: path, lora, chatTemplate } = settings;
  const isOwn = resolve(dirname(path)) === resolve(dir);
  const tokenizer = isOwn
    ? ''
    : createHash('sha256')
        .update(await readFile(path))
        .digest('hex');
  const adapter = lora === undefined ? '' : await adapterHash(lora);
  return modelHash(dir, [dtype, tokenizer, adapter, chatTemplate ?? '']);
}
