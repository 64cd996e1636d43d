// State files: safetensors with the tensors of each block's state and the fingerprint of the model.
import { InvalidArgumentError, type LayerState } from '@rene-js/layers';
import { openSafetensors, writeSafetensors } from './checkpoint/safetensors.js';
import { readF32, type TensorFile, tensorInfo } from './checkpoint/tensor_file.js';
import { CheckpointError, GenerationError } from './errors.js';
import type { StateOwner } from './state_owner.js';

const FORMAT = 'rene-state-1';
const STATE_PATH = "a state file's path or file URL";

/** The contents of a state file. */
export interface StoredState {
  /** One per block; null for a block without state. */
  readonly layers: readonly (LayerState | null)[];
  /** Tokens seen by each row of the batch. */
  readonly positions: readonly number[];
}

/**
 * Writes a state file. An existing file is replaced once the new one is complete.
 *
 * @param path a path or a file URL
 * @param owner fingerprint of the model
 * @param others further metadata. Default: none.
 */
export async function writeStateFile(
  path: string | URL,
  { layers, positions }: StoredState,
  owner: string,
  others: Readonly<Record<string, string>> = {},
): Promise<void> {
  const tensors = layers.flatMap((layer, i) =>
    (layer?.save() ?? []).map(({ name, dtype, shape, bytes }) => ({
      name: `${i}.${name}`,
      dtype,
      shape,
      bytes,
    })),
  );
  const own = { format: FORMAT, model: owner, positions: JSON.stringify(positions) };
  const metadata = { ...others, ...own };
  const { pathOf } = await import('./checkpoint/file_url.js');
  const file = pathOf(path, STATE_PATH);
  const { writeFileAtomically } = await import('./checkpoint/node_files.js');
  await writeFileAtomically(file, (put) => writeSafetensors(tensors, metadata, put));
}

/**
 * Reads a state file.
 *
 * @param path a path or a file URL
 * @param owner the model
 * @throws CheckpointError if the file is damaged or no state file, or for other URLs; GenerationError
 *   for the state of another model
 */
export async function readStateFile(
  path: string | URL,
  owner: StateOwner,
): Promise<StoredState & Pick<TensorFile, 'metadata'>> {
  const { pathOf } = await import('./checkpoint/file_url.js');
  const { openFile } = await import('./checkpoint/node_files.js');
  const file = await openSafetensors(await openFile(pathOf(path, STATE_PATH)));
  try {
    const positions = readPositions(file);
    if (file.metadata.get('model') !== (await owner.fingerprint())) {
      throw new GenerationError(
        `${path}: this is the state of another model: its configuration or weights differ; ` +
          'load the model that it was saved with, or read the prompt again',
      );
    }
    const { metadata } = file;
    return { layers: await readLayers(file, owner, positions), positions, metadata };
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
    throw new CheckpointError(`${name}: its positions are not a list of token counts`);
  }
  const positions: number[] = JSON.parse(text);
  return positions;
}

async function readLayers(
  file: TensorFile,
  owner: StateOwner,
  positions: readonly number[],
): Promise<(LayerState | null)[]> {
  let last = 0;
  const read = (block: number) => async (name: string) => {
    last = block;
    const { shape } = tensorInfo(file, `${block}.${name}`);
    return { values: await readF32(file, `${block}.${name}`), shape: [...shape] };
  };
  try {
    return await owner.restoreLayers(read, positions);
  } catch (error) {
    if (!(error instanceof InvalidArgumentError)) throw error;
    const message = `${file.name}: block ${last}: ${error.message}`;
    throw new CheckpointError(message, [message], { cause: error });
  }
}
