// A recurrent state in host memory.
import type { LayerState } from '@rene-js/layers';
import { type StoredValues, widen } from '@rene-js/layers/internal';
import { GenerationError } from './errors.js';
import { RecurrentState } from './state.js';
import type { StateOwner } from './state_owner.js';

/** A tensor in host memory: little-endian, row-major. */
export interface HostTensor {
  readonly dtype: 'F32' | 'BF16';
  readonly shape: readonly number[];
  readonly bytes: Uint8Array;
}

/** A copy of a recurrent state, which can be restored any number of times. */
export class HostState {
  /** Its size in bytes. */
  readonly byteLength: number;

  /** @param blocks tensors of each block by name */
  constructor(
    private readonly blocks: readonly ReadonlyMap<string, HostTensor>[],
    readonly positions: readonly number[],
    private readonly owner: StateOwner,
  ) {
    this.byteLength = blocks
      .flatMap((tensors) => [...tensors.values()])
      .reduce((sum, { bytes }) => sum + bytes.byteLength, 0);
  }

  /** Its tensors, named by block: '3.conv'. */
  tensors(): [name: string, tensor: HostTensor][] {
    return this.blocks.flatMap((tensors, block) =>
      [...tensors].map(([name, tensor]): [string, HostTensor] => [`${block}.${name}`, tensor]),
    );
  }

  /** The state with these tensors, which tensors() returned. */
  static fromTensors(
    tensors: Iterable<readonly [name: string, tensor: HostTensor]>,
    positions: readonly number[],
    owner: StateOwner,
  ): HostState {
    const blocks: Map<string, HostTensor>[] = [];
    for (const [name, tensor] of tensors) {
      const dot = name.indexOf('.');
      const block = Number(name.slice(0, dot));
      while (blocks.length <= block) blocks.push(new Map());
      blocks[block]?.set(name.slice(dot + 1), tensor);
    }
    return new HostState(blocks, positions, owner);
  }

  /** A state of the same model; the caller disposes it. */
  async restore(): Promise<RecurrentState> {
    const { blocks, positions, owner } = this;
    const layers = await owner.restoreLayers(
      (block) => async (name) => {
        const tensor = blocks[block]?.get(name);
        if (!tensor) throw new Error(`no tensor '${name}' of block ${block}`);
        return storedValues(tensor);
      },
      positions,
    );
    return new RecurrentState(layers, positions, owner);
  }
}

/** A tensor without copies of its memory, which tensors never change. bf16 is widened only if it is read as f32. */
function storedValues({ dtype, shape, bytes }: HostTensor): StoredValues {
  return {
    shape: [...shape],
    bf16: dtype === 'BF16' ? bytes : undefined,
    get values() {
      const { buffer, byteOffset, byteLength } = bytes;
      if (dtype === 'F32' && byteOffset % 4 === 0) {
        return new Float32Array(buffer, byteOffset, byteLength / 4);
      }
      const values = new Float32Array(byteLength / (dtype === 'F32' ? 4 : 2));
      widen(bytes, dtype, values);
      return values;
    },
  };
}

/**
 * Copies a state to the host.
 *
 * @throws GenerationError if the state cannot be used, or belongs to no model
 */
export async function toHost(state: RecurrentState): Promise<HostState> {
  state.check();
  const { owner, positions } = state;
  if (!owner) throw new GenerationError('this state does not belong to a model');
  const copy = state.clone(); // the state may advance while its tensors are read
  try {
    const blocks = await Promise.all(copy.layers.map(tensorsOf));
    return new HostState(blocks, positions, owner);
  } finally {
    copy.dispose();
  }
}

async function tensorsOf(layer: LayerState | null): Promise<ReadonlyMap<string, HostTensor>> {
  const stored = layer?.save() ?? [];
  const tensors = stored.map(async ({ name, dtype, shape, bytes }) => {
    return [name, { dtype, shape, bytes: await bytes() }] as const;
  });
  return new Map(await Promise.all(tensors));
}
