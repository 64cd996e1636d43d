// LoRA: fine-tuning by low-rank corrections of frozen matrices (arXiv 2106.09685).
//
// An adapted matrix is W + alpha / rank * B A, computed where a layer uses it, so that any layer on
// any backend can be adapted. Files are those of the Python library PEFT.
import { InvalidArgumentError, initializers, type Parameter, rowsWeight } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import seedrandom from 'seedrandom';
import { openFile, readJsonFile, writeFileAtomically } from '../checkpoint/node_files.js';
import { openSafetensors, writeSafetensors } from '../checkpoint/safetensors.js';
import { readF32 } from '../checkpoint/tensor_file.js';
import type { ReneConfig } from '../config.js';
import { CheckpointError } from '../errors.js';
import { stringifyJson } from '../json.js';
import { type ForwardOptions, ReneLMHeadModel } from '../model.js';

/** Which matrices are adapted, and how strongly. */
export interface LoraOptions {
  /** Rank of the corrections. 8. */
  rank?: number;
  /** The correction is scaled by alpha / rank. Twice the rank. */
  alpha?: number;
  /** Last parts of the adapted matrices' names. ['in_proj', 'out_proj'], every Linear of the blocks. */
  targets?: readonly string[];
  /** Of the random start of A; B starts at zero, so the model starts unchanged. 'rene'. */
  seed?: string;
}

interface Correction {
  readonly base: tf.Variable;
  readonly a: tf.Variable;
  readonly b: tf.Variable;
}

const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';
/** What PEFT puts before the names of the model's parameters. */
const PREFIX = 'base_model.model.';

/**
 * A model with corrections, to be trained with train() in the model's place. The model keeps its
 * own weights and stays usable; merge() adds the corrections to them.
 */
export class LoraAdapter {
  readonly config: ReneConfig;
  private readonly adapted: ReneLMHeadModel;

  private constructor(
    private readonly corrections: ReadonlyMap<string, Correction>,
    private readonly options: Required<LoraOptions>,
    model: ReneLMHeadModel,
  ) {
    this.config = model.config;
    const parameters = new Map(model.parameters);
    const scale = options.alpha / options.rank;
    for (const [name, correction] of corrections) {
      parameters.set(name, correctedWeight(correction, scale));
    }
    this.adapted = new ReneLMHeadModel(model.config, parameters);
  }

  /**
   * New corrections for a model.
   *
   * @param model made with `trainable: true`, which keeps its weights as plain f32 matrices
   * @throws InvalidArgumentError if no matrix has one of the targets' names
   */
  static create(model: ReneLMHeadModel, options: LoraOptions = {}): LoraAdapter {
    const { rank = 8, targets = ['in_proj', 'out_proj'], seed = 'rene' } = options;
    const { alpha = 2 * rank } = options;
    if (!Number.isInteger(rank) || rank < 1) {
      throw new InvalidArgumentError('rank', 'an integer of at least 1', String(rank));
    }
    if (!(alpha > 0 && Number.isFinite(alpha))) {
      throw new InvalidArgumentError('alpha', 'a number above 0', String(alpha));
    }
    const corrections = new Map<string, Correction>();
    for (const [name, parameter] of model.parameters) {
      if (!targets.includes(name.split('.').at(-2) ?? '')) continue;
      const base = plainMatrix(name, parameter);
      if (base) corrections.set(name, newCorrection(base, rank, `${seed}:${name}`));
    }
    if (corrections.size === 0) {
      const found = `'${targets.join("', '")}'`;
      throw new InvalidArgumentError('targets', 'names of matrices such as in_proj', found);
    }
    return new LoraAdapter(corrections, { rank, alpha, targets, seed }, model);
  }

  /**
   * Loads an adapter's folder for the model that it was trained on.
   *
   * @throws CheckpointError for files that are missing, or do not fit the model
   */
  static async load(model: ReneLMHeadModel, dir: string): Promise<LoraAdapter> {
    const options = adapterOptions(await readJsonFile(`${dir}/${CONFIG}`), `${dir}/${CONFIG}`);
    const file = await openSafetensors(await openFile(`${dir}/${WEIGHTS}`));
    const adapter = LoraAdapter.create(model, options);
    try {
      const variables = adapter.trainableVariables;
      for (const name of file.tensors.keys()) {
        if (!variables.has(withoutPrefix(name))) {
          throw new CheckpointError(`${file.name}: ${name} corrects no matrix of this model`);
        }
      }
      for (const [name, variable] of variables) {
        const shape = file.tensors.get(PREFIX + name)?.shape;
        if (shape?.join() !== variable.shape.join()) {
          throw new CheckpointError(
            `${file.name}: ${PREFIX}${name}: expected shape [${variable.shape.join(', ')}], found ` +
              `${shape ? `[${shape.join(', ')}]` : 'no such tensor'}`,
          );
        }
        const values = tf.tensor(await readF32(file, PREFIX + name), variable.shape);
        variable.assign(values);
        values.dispose();
      }
      return adapter;
    } catch (error) {
      adapter.dispose();
      throw error;
    } finally {
      await file.close();
    }
  }

  /** A and B of every corrected matrix, named as in PEFT but without its prefix. */
  get trainableVariables(): Map<string, tf.Variable> {
    const variables = new Map<string, tf.Variable>();
    for (const [name, { a, b }] of this.corrections) {
      variables.set(name.replace(/weight$/, 'lora_A.weight'), a);
      variables.set(name.replace(/weight$/, 'lora_B.weight'), b);
    }
    return variables;
  }

  /** As model.forward, with the corrections. To generate, merge first: it is faster. */
  forward(
    ids: tf.Tensor | readonly (readonly number[])[],
    options: ForwardOptions = {},
  ): tf.Tensor3D {
    return this.adapted.forward(ids, options);
  }

  /** Writes adapter_config.json and adapter_model.safetensors into a folder. */
  async save(dir: string): Promise<void> {
    const { rank, alpha, targets } = this.options;
    const tensors = [...this.trainableVariables].map(([name, variable]) => ({
      name: PREFIX + name,
      dtype: 'F32',
      shape: variable.shape,
      bytes: async () => {
        const values = await variable.data();
        return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      },
    }));
    await writeFileAtomically(`${dir}/${WEIGHTS}`, (put) =>
      writeSafetensors(tensors, { format: 'pt' }, put),
    );
    const json = stringifyJson({
      peft_type: 'LORA',
      task_type: 'CAUSAL_LM',
      r: rank,
      lora_alpha: alpha,
      target_modules: [...targets],
      lora_dropout: 0,
      bias: 'none',
      fan_in_fan_out: false,
      inference_mode: true,
    });
    await writeFileAtomically(`${dir}/${CONFIG}`, (put) => put(new TextEncoder().encode(json)));
  }

  /** Adds the corrections to the model's own weights and frees the adapter. */
  merge(): void {
    const scale = this.options.alpha / this.options.rank;
    for (const correction of this.corrections.values()) {
      tf.tidy(() => correction.base.assign(corrected(correction, scale)));
    }
    this.dispose();
  }

  /** Frees the corrections; the model stays as it is. */
  dispose(): void {
    for (const { a, b } of this.corrections.values()) tf.dispose([a, b]);
  }
}

function newCorrection(base: tf.Variable, rank: number, seed: string): Correction {
  const [outFeatures = 0, inFeatures = 0] = base.shape;
  const values = new Float32Array(rank * inFeatures);
  initializers.kaimingUniform(inFeatures)(values, seedrandom.alea(seed));
  return tf.tidy(() => ({
    base,
    a: tf.variable(tf.tensor2d(values, [rank, inFeatures])),
    b: tf.variable(tf.zeros([outFeatures, rank])),
  }));
}

function corrected({ base, a, b }: Correction, scale: number): tf.Tensor {
  return tf.add(base, tf.mul(tf.matMul(b, a), scale));
}

/** A weight whose tensor is computed whenever a layer takes it: under its tidy and on its tape. */
function correctedWeight(correction: Correction, scale: number): Parameter {
  return {
    ...rowsWeight(correction.base),
    get tensors() {
      return [corrected(correction, scale)];
    },
  };
}

function plainMatrix(name: string, parameter: Parameter): tf.Variable | undefined {
  if (parameter instanceof tf.Tensor) return undefined;
  const [matrix] = parameter.tensors;
  if (parameter.layout === 'rows' && matrix instanceof tf.Variable) return matrix;
  throw new InvalidArgumentError(
    'model',
    'a model made with { trainable: true }',
    `${name} as ${parameter.format} packed as '${parameter.layout}'`,
  );
}

function withoutPrefix(name: string): string {
  return name.startsWith(PREFIX) ? name.slice(PREFIX.length) : name;
}

function adapterOptions(json: unknown, path: string): LoraOptions {
  const entries = new Map<string, unknown>(
    Object.entries(typeof json === 'object' && json !== null ? json : {}),
  );
  const rank = entries.get('r');
  const alpha = entries.get('lora_alpha');
  const targets = entries.get('target_modules');
  const isNames = Array.isArray(targets) && targets.every((name) => typeof name === 'string');
  if (typeof rank !== 'number' || typeof alpha !== 'number' || !isNames) {
    throw new CheckpointError(
      `${path}: expected r, lora_alpha and a list target_modules, as PEFT writes them for LoRA`,
    );
  }
  return { rank, alpha, targets };
}
