// Recurrent states on disk: safetensors with the state's tensors, and whose state it is.
import {
  AttentionState,
  type LayerState,
  Mamba2State,
  ringBytes,
  ringFormatOf,
  ringFromBytes,
  ringShapeOf,
} from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import { narrow } from '../checkpoint/narrow.js';
import {
  openSafetensors,
  type TensorToWrite,
  writeSafetensors,
} from '../checkpoint/safetensors.js';
import { readF32, type TensorFile, tensorInfo } from '../checkpoint/tensor_file.js';
import { CheckpointError, GenerationError } from '../errors.js';
import type { ReneLMHeadModel } from '../model.js';
import { RecurrentState } from '../state.js';

const FORMAT = 'rene-state-1';

/** @param owner the fingerprint of its model */
export async function saveState(path: string, state: RecurrentState, owner: string): Promise<void> {
  const tensors = state.layers.flatMap((layer, i) =>
    Object.entries(layer?.tensors() ?? {}).map(([name, tensor]): TensorToWrite => {
      const isRing = layer instanceof AttentionState;
      if (tensor.dtype !== 'float32' && !(isRing && tensor.dtype === 'int32')) {
        throw new GenerationError(`block ${i}: a state in ${tensor.dtype} cannot be saved`);
      }
      return {
        name: `${i}.${name}`,
        dtype: isRing && ringFormatOf(tensor) === 'bf16' ? 'BF16' : 'F32',
        shape: isRing ? ringShapeOf(tensor) : tensor.shape,
        bytes: async () => {
          if (isRing) return ringBytes(tensor);
          const values = await tensor.data<'float32'>();
          return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
        },
      };
    }),
  );
  const metadata = { format: FORMAT, model: owner, positions: JSON.stringify(state.positions) };
  const { writeFileAtomically } = await import('../checkpoint/node_files.js');
  await writeFileAtomically(path, (put) => writeSafetensors(tensors, metadata, put));
}

/** @throws CheckpointError for what is no state file, GenerationError for another model's */
export async function loadState(path: string, model: ReneLMHeadModel): Promise<RecurrentState> {
  const { openFile } = await import('../checkpoint/node_files.js');
  const file = await openSafetensors(await openFile(path));
  try {
    const positions = readPositions(file);
    if (file.metadata.get('model') !== (await model.fingerprint())) {
      throw new GenerationError(
        `${path}: this is the state of another model: its configuration or weights differ; ` +
          'load the model that it was saved with, or read the text again',
      );
    }
    return await readState(file, model, positions);
  } finally {
    await file.close();
  }
}

function readPositions({ name, metadata }: TensorFile): number[] {
  if (metadata.get('format') !== FORMAT) {
    throw new CheckpointError(
      `${name}: expected a state file (${FORMAT}), found ${metadata.get('format') ?? 'another kind of file'}`,
    );
  }
  const text = metadata.get('positions') ?? '';
  if (!/^\[\d{1,15}(,\d{1,15})*\]$/.test(text)) {
    throw new CheckpointError(`${name}: its positions are no list of numbers of tokens`);
  }
  const positions: number[] = JSON.parse(text);
  return positions;
}

async function readState(
  file: TensorFile,
  model: ReneLMHeadModel,
  positions: number[],
): Promise<RecurrentState> {
  const layers: (LayerState | null)[] = [];
  const initial = model.initialState(1);
  try {
    for (const [i, like] of initial.layers.entries()) {
      layers.push(like && (await readLayer(file, `${i}.`, like, positions, model)));
    }
    const state = new RecurrentState(layers, positions, model);
    state.checkForm(file.name, initial.form);
    return state;
  } catch (error) {
    for (const layer of layers) layer?.dispose();
    throw error;
  } finally {
    initial.dispose();
  }
}

/** The tensors of one layer, made into a state of the same kind as another. */
async function readLayer(
  file: TensorFile,
  prefix: string,
  like: LayerState,
  positions: readonly number[],
  model: ReneLMHeadModel,
): Promise<LayerState> {
  const read = async (name: string, rank: number) => {
    const { shape } = tensorInfo(file, prefix + name);
    if (shape.length !== rank || shape[0] !== positions.length) {
      throw new CheckpointError(
        `${file.name}: tensor '${prefix + name}' has shape [${shape.join(', ')}], ` +
          `expected ${rank} axes and ${positions.length} rows`,
      );
    }
    return { values: await readF32(file, prefix + name), shape: [...shape] };
  };
  if (like instanceof Mamba2State) {
    const [conv, ssm] = [await read('convState', 3), await read('ssmState', 4)];
    return new Mamba2State(tensor(conv), tensor(ssm));
  }
  if (!(like instanceof AttentionState)) {
    throw new GenerationError(`block ${prefix}: its kind of state cannot be restored`);
  }
  const [k, v] = [await read('k', 4), await read('v', 4)];
  const window = model.config.attn?.slidingWindowLength ?? Number.POSITIVE_INFINITY;
  const needed = Math.min(window, Math.max(...positions));
  for (const { shape } of [k, v]) {
    const [, capacity = 0] = shape;
    if (capacity < needed || capacity > window || capacity !== k.shape[1]) {
      throw new CheckpointError(
        `${file.name}: block ${prefix.slice(0, -1)} keeps ${capacity} keys, expected ${needed}`,
      );
    }
  }
  // A file's ring may be f32 or bf16, whatever the model that reads it holds.
  const format = ringFormatOf(like.k);
  const ring = ({ values, shape: [batch = 0, capacity = 0, heads = 0, dim = 0] }: Stored) => {
    const bytes = narrow(values, format === 'bf16' ? 'BF16' : 'F32');
    return ringFromBytes(bytes, [batch, capacity, heads, dim], format);
  };
  return new AttentionState(ring(k), ring(v), positions);
}

interface Stored {
  values: Float32Array;
  shape: number[];
}

function tensor({ values, shape }: Stored): tf.Tensor {
  return tf.tensor(values, shape, 'float32');
}
