// A loaded model with an adapter. It shares the parameters that the adapter does not change.
import type { Parameter, WeightFormat } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import type { CheckpointTensors } from '../architectures/blueprint.js';
import { makeModelParameters } from '../architectures/derived_parameters.js';
import { blueprintOf } from '../architectures/index.js';
import { modelOf } from '../auto_model.js';
import { chooseFormat } from '../checkpoint/choose_format.js';
import { checkNamesAndShapes } from '../checkpoint/load_parameters.js';
import { openBase, storedDType, underAdapter } from '../load_model.js';
import type { CausalLM } from '../model.js';
import type { Adapter } from './adapter_file.js';
import { changedParameters } from './changed_parameters.js';
import { adaptedConfig, correctedCheckpoint } from './corrected_checkpoint.js';
import { openAdapter } from './open_adapter.js';

export interface AdaptedModelOptions {
  /** dtype of the changed matrices, as for fromPretrained. Default: 'auto'. */
  dtype?: 'auto' | WeightFormat | undefined;
  /** The adapter that the loaded model has. Default: none. */
  baseLora?: string | undefined;
  /** Called with notices. Default: console.warn. */
  onNotice?: ((notice: string) => void) | undefined;
}

/**
 * Loads a model with an adapter. The parameters that the adapter does not change share memory with those of
 * the loaded model. Each of the two is disposed on its own, in any order.
 *
 * @param base the model in memory, on the current backend
 * @param dir the folder that it was loaded from
 * @param lora an adapter's folder, hub id or URL
 * @throws CheckpointError, HubError, BackendError
 */
export async function loadAdaptedModel(
  base: CausalLM,
  dir: string,
  lora: string,
  { dtype = 'auto', baseLora, onNotice = console.warn }: AdaptedModelOptions = {},
): Promise<CausalLM> {
  const hub = { onNotice };
  const { config, checkpoint, generationConfig } = await openBase(dir, hub);
  const open: { close(): Promise<void> }[] = [checkpoint];
  const openOne = async (name: string): Promise<Adapter> => {
    const adapter = await openAdapter(name, config, hub);
    open.push(adapter);
    return adapter;
  };
  try {
    const adapter = await openOne(lora);
    // What the loaded model's own adapter changes cannot be shared.
    const others = baseLora === undefined ? [] : [await openOne(baseLora)];
    const adapted = adaptedConfig(config, adapter);
    const blueprint = blueprintOf(adapted);
    const corrected = correctedCheckpoint(checkpoint, adapter, config);
    checkNamesAndShapes(corrected, blueprint);
    const changed = changedParameters(config, adapter, others);
    const stored = underAdapter(storedDType(checkpoint, blueprint.embedding));
    const own = await makeModelParameters(
      only(blueprint, new Set(changed.map(({ name }) => name))),
      {
        format: dtype === 'auto' ? chooseFormat(stored, changed, onNotice) : dtype,
        keepQuantized: dtype === 'auto',
      },
      {
        matrix: async ({ name }) => corrected.storedMatrix(name),
        values: ({ name }) => corrected.readF32(name),
      },
    );
    const names = (blueprint.parameters ?? blueprint.tensors).map(({ name }) => name);
    const all = new Map<string, Parameter>();
    for (const name of names) {
      const parameter = own.get(name) ?? shared(base.parameters.get(name));
      if (parameter) all.set(name, parameter);
    }
    return modelOf(adapted, all, generationConfig);
  } finally {
    await Promise.all(open.map((file) => file.close()));
  }
}

/** The blueprint of some parameters. */
function only(
  { tensors, parameters, embedding }: CheckpointTensors,
  names: ReadonlySet<string>,
): CheckpointTensors {
  if (!parameters) return { tensors: tensors.filter(({ name }) => names.has(name)), embedding };
  return { tensors, embedding, parameters: parameters.filter(({ name }) => names.has(name)) };
}

/** The same values in the same memory, which is freed with the last of both. */
function shared(parameter: Parameter | undefined): Parameter | undefined {
  if (!parameter || !(parameter instanceof tf.Tensor)) {
    return parameter && { ...parameter, tensor: sameMemory(parameter.tensor) };
  }
  return sameMemory(parameter);
}

/** Reshape shares the memory on every backend; Identity copies on 'wasm'. */
function sameMemory(tensor: tf.Tensor): tf.Tensor {
  return tf.keep(tf.reshape(tensor, tensor.shape));
}
