// LoRA: fine-tuning with low-rank corrections of frozen matrices (arXiv 2106.09685).
//
// An adapted matrix W + scale * B A is computed where a layer uses it, so that any layer on any backend can
// be adapted. Files have PEFT's format.
import { InvalidArgumentError, initializers, type PackedWeight, rowsWeight } from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import seedrandom from 'seedrandom';
import { architectureOf, blueprintOf } from '../architectures/index.js';
import type { ModelConfig } from '../architectures/model_config.js';
import { jsonFile } from '../checkpoint/json_file.js';
import { writeSafetensors } from '../checkpoint/safetensors.js';
import { writeFolder } from '../checkpoint/write_folder.js';
import { CheckpointError, ReneError } from '../errors.js';
import { asRecord } from '../json.js';
import { parseAdapterConfig } from '../lora/adapter_config.js';
import { correctionTensors, PEFT_PREFIX } from '../lora/adapter_file.js';
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS } from '../lora/adapter_files.js';
import { separateHead } from '../lora/corrected_checkpoint.js';
import { openAdapter } from '../lora/open_adapter.js';
import { type Correction, linearModules, planAdapter } from '../lora/target_modules.js';
import { CausalLM, type ForwardOptions } from '../model.js';

/** Options: which matrices to adapt, and how. */
export interface LoraOptions {
  /** Rank of the adapters. Default: 8. */
  rank?: number;
  /** Scale is alpha / rank. Default: twice the rank. */
  alpha?: number;
  /**
   * Modules to adapt, as PEFT's target_modules: last name parts or full names; or a string: a regular
   * expression of full names, or 'all-linear'. Default: the names of all linear layers except the head and,
   * for `falcon_h1`, `mamba2` and `nemotron_h`, out_proj, which PEFT refuses there.
   */
  targets?: string | readonly string[];
  /** Scale by alpha / sqrt(rank), which keeps large ranks stable. Default: false. */
  useRslora?: boolean;
  /** DoRA: train magnitudes of rows separately from their directions. Default: false. */
  useDora?: boolean;
  /** Seed of factor A. B starts at zero, so that the model starts unchanged. Default: 'rene'. */
  seed?: string;
}

/** An adapter's variables for a matrix, in the file's shapes. */
interface TrainedCorrection extends Correction {
  readonly base: tf.Variable;
  readonly a: tf.Variable;
  readonly b: tf.Variable;
  readonly magnitude: tf.Variable | undefined;
}

const HEAD = 'lm_head.weight';
/** Families whose out_proj PEFT refuses: transformers computes it inside a fused kernel. */
const FUSED_OUT_PROJ = ['falcon_h1', 'mamba2', 'nemotron_h'];

/**
 * A model with adapters, to be passed to train() instead of the model. The model's own weights do not
 * change until merge().
 */
export class LoraAdapter {
  readonly config: ModelConfig;
  private readonly adapted: CausalLM;
  /** A, B and DoRA's magnitudes of every corrected matrix, and parameters that are replaced. */
  readonly trainableVariables: Map<string, tf.Variable>;

  private constructor(
    private readonly model: CausalLM,
    /** By the names of the corrected parameters. */
    private readonly corrections: ReadonlyMap<string, TrainedCorrection>,
    /** Parameters that are trained in full: modules_to_save, biases. */
    private readonly replaced: ReadonlyMap<string, tf.Variable>,
    /** The contents of adapter_config.json. */
    private readonly json: Record<string, unknown>,
  ) {
    this.config = model.config;
    this.trainableVariables = new Map([...corrections.values()].flatMap(namedVariables));
    for (const [name, variable] of replaced) this.trainableVariables.set(name, variable);
    const parameters = new Map(model.parameters);
    const config = separateHead(model.config, [...corrections.keys(), ...replaced.keys()]);
    const embedding = parameters.get(embeddingOf(model));
    if (config !== model.config && embedding) parameters.set(HEAD, embedding);
    for (const [name, variable] of replaced) {
      parameters.set(name, variable.rank === 2 ? rowsWeight(variable) : variable);
    }
    for (const [name, correction] of corrections) {
      parameters.set(name, correctedWeight(correction));
    }
    this.adapted = new CausalLM(config, parameters);
  }

  /**
   * Creates new adapters for a model.
   *
   * @param model created with `trainable: true`, so that its weights are plain f32 matrices
   * @throws InvalidArgumentError for invalid options, or if no module matches
   */
  static create(model: CausalLM, options: LoraOptions = {}): LoraAdapter {
    const { rank = 8, targets = defaultTargets(model.config), seed = 'rene' } = options;
    const { alpha = 2 * rank, useRslora = false, useDora = false } = options;
    if (!Number.isInteger(rank) || rank < 1) {
      throw new InvalidArgumentError('rank', 'an integer of at least 1', String(rank));
    }
    if (!(alpha > 0 && Number.isFinite(alpha))) {
      throw new InvalidArgumentError('alpha', 'a number above 0', String(alpha));
    }
    const json = {
      peft_type: 'LORA',
      task_type: 'CAUSAL_LM',
      r: rank,
      lora_alpha: alpha,
      target_modules: typeof targets === 'string' ? targets : [...targets],
      use_rslora: useRslora,
      use_dora: useDora,
      lora_dropout: 0,
      bias: 'none',
      fan_in_fan_out: false,
      inference_mode: true,
    };
    const { corrections } = planOf(model.config, json);
    const trained = new Map<string, TrainedCorrection>();
    try {
      for (const correction of corrections) {
        const name = `${correction.module}.weight`;
        const base = baseMatrix(model, name);
        trained.set(name, newCorrection(correction, base, useDora, `${seed}:${name}`));
      }
    } catch (error) {
      for (const each of trained.values()) disposeCorrection(each);
      throw error;
    }
    return new LoraAdapter(model, trained, new Map(), json);
  }

  /**
   * Loads an adapter for the model that it was trained on, to train it further or to merge it. To generate
   * with an adapter, give it to `AutoModelForCausalLM.fromPretrained(dir, { lora })` instead.
   *
   * @param model its base model, created with `trainable: true`
   * @param dir a folder written by PEFT or save(), a hub id, or a URL
   * @throws CheckpointError for files that are missing, not supported, or do not fit the model
   */
  static async load(model: CausalLM, dir: string | URL): Promise<LoraAdapter> {
    const adapter = await openAdapter(dir, model.config);
    const trained = new Map<string, TrainedCorrection>();
    const replaced = new Map<string, tf.Variable>();
    const variableOf = async (name: string, shape: readonly number[]) => {
      const values = await adapter.read(name);
      return tf.tidy(() => tf.variable(tf.tensor(values, [...shape])));
    };
    try {
      if (adapter.config.loraBias) {
        throw new CheckpointError(
          `${dir}/${ADAPTER_CONFIG}: lora_bias: expected false to train the adapter further, ` +
            'found true (fromPretrained(dir, { lora }) supports it)',
        );
      }
      for (const [name, correction] of adapter.corrections) {
        const base = baseMatrix(model, name);
        const { a, b, magnitude } = correctionTensors(correction, adapter.config);
        trained.set(name, {
          ...correction,
          base,
          a: await variableOf(a.name, a.shape),
          b: await variableOf(b.name, b.shape),
          magnitude: magnitude && (await variableOf(magnitude.name, magnitude.shape)),
        });
      }
      for (const name of adapter.replaced) {
        const own = model.parameters.get(name === HEAD ? embeddingOf(model) : name);
        const { shape = [] } = model.parameters.get(name) ?? own ?? {};
        const variable = await variableOf(name, shape);
        replaced.set(name, variable);
      }
      return new LoraAdapter(model, trained, replaced, { ...asRecord(adapter.json) });
    } catch (error) {
      for (const each of trained.values()) disposeCorrection(each);
      tf.dispose([...replaced.values()]);
      throw error;
    } finally {
      await adapter.close();
    }
  }

  /** Like model.forward, with the adapters. To generate, merge first: it is faster. */
  forward(
    ids: tf.Tensor | readonly (readonly number[])[],
    options: ForwardOptions = {},
  ): tf.Tensor3D {
    return this.adapted.forward(ids, options);
  }

  /** Writes adapter_config.json and adapter_model.safetensors into a folder (a path or a file URL). */
  async save(dir: string | URL): Promise<void> {
    const tensors = [...this.trainableVariables].map(([name, variable]) => ({
      name: PEFT_PREFIX + name,
      dtype: 'F32',
      shape: variable.shape,
      bytes: async () => {
        const values = await variable.data();
        return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
      },
    }));
    await writeFolder(dir, [
      jsonFile(ADAPTER_CONFIG, this.json),
      {
        name: ADAPTER_WEIGHTS,
        write: (put) => writeSafetensors(tensors, { format: 'pt' }, put),
      },
    ]);
  }

  /**
   * Adds the adapters to the model's weights and frees them.
   *
   * @throws ReneError if embedding and head are tied and only one of them is adapted: load the model with
   *   `fromPretrained(dir, { lora })`, which unties them
   */
  merge(): void {
    if (this.adapted.config !== this.model.config) {
      throw new ReneError(
        'the adapter changes one of embedding and head, which share a matrix in this model: load both with ' +
          'fromPretrained(dir, { lora }) and save that model',
      );
    }
    for (const correction of this.corrections.values()) {
      tf.tidy(() => correction.base.assign(corrected(correction)));
    }
    const own = this.model.trainableVariables;
    for (const [name, variable] of this.replaced) own.get(name)?.assign(variable);
    this.dispose();
  }

  /** Frees the adapters. The model is unchanged. */
  dispose(): void {
    tf.dispose([...this.trainableVariables.values()]);
  }
}

function planOf(config: ModelConfig, json: Record<string, unknown>) {
  try {
    return planAdapter(config, parseAdapterConfig(json, 'options'), 'options');
  } catch (error) {
    if (!(error instanceof CheckpointError)) throw error;
    const found = JSON.stringify(json.target_modules);
    throw new InvalidArgumentError('targets', 'names of linear layers such as in_proj', found);
  }
}

/** Names of an adapter's variables, as in PEFT without its prefix. */
function namedVariables(correction: TrainedCorrection): [string, tf.Variable][] {
  const { a, b, magnitude } = correctionTensors(correction, {
    useDora: correction.magnitude !== undefined,
    loraBias: false,
  });
  const named: [string, tf.Variable][] = [
    [a.name, correction.a],
    [b.name, correction.b],
  ];
  if (magnitude && correction.magnitude) named.push([magnitude.name, correction.magnitude]);
  return named;
}

/** The names of the linear layers that PEFT can adapt. */
function defaultTargets(config: ModelConfig): string[] {
  const { modelTypes } = architectureOf(config);
  const isFused = modelTypes.some((type) => FUSED_OUT_PROJ.includes(type));
  const names = new Set(linearModules(config).map((module) => module.replace(/^.*\./, '')));
  return [...names].filter((name) => !(isFused && name === 'out_proj'));
}

function newCorrection(
  correction: Correction,
  base: tf.Variable,
  useDora: boolean,
  seed: string,
): TrainedCorrection {
  const { a, b } = correctionTensors(correction, { useDora, loraBias: false });
  const isEmbedding = correction.kind === 'embedding';
  const random = (shape: readonly number[]) => {
    const [rows = 0, columns = 0] = shape;
    const values = new Float32Array(rows * columns);
    const init = isEmbedding ? initializers.normal(1) : initializers.kaimingUniform(columns);
    init(values, seedrandom.alea(seed));
    return tf.tensor2d(values, [rows, columns]);
  };
  // For an embedding the random factor is B, as in PEFT.
  const variable = (make: () => tf.Tensor) => tf.tidy(() => tf.variable(make()));
  const zeros = (shape: readonly number[]) => tf.zeros([...shape]);
  const axis = isEmbedding ? 0 : 1;
  return {
    ...correction,
    base,
    a: variable(() => (isEmbedding ? zeros(a.shape) : random(a.shape))),
    b: variable(() => (isEmbedding ? random(b.shape) : zeros(b.shape))),
    magnitude: useDora ? variable(() => tf.norm(base, 'euclidean', axis)) : undefined,
  };
}

function disposeCorrection({ a, b, magnitude }: TrainedCorrection): void {
  tf.dispose([a, b, ...(magnitude ? [magnitude] : [])]);
}

function corrected({ kind, base, a, b, magnitude, scale }: TrainedCorrection): tf.Tensor {
  const isEmbedding = kind === 'embedding';
  const delta = isEmbedding ? tf.matMul<tf.Tensor>(a, b, true, true) : tf.matMul(b, a);
  const sum = tf.add(base, tf.mul(delta, scale));
  if (!magnitude) return sum;
  const axis = isEmbedding ? 0 : 1;
  const factor = tf.mul(tf.expandDims(magnitude, axis), inverseNorm(sum, axis));
  return tf.mul(sum, factor);
}

/** 1 / the norm, without a gradient (section 4.3 of DoRA, arXiv 2402.09353). */
function inverseNorm(matrix: tf.Tensor, axis: number): tf.Tensor {
  return tf.customGrad(() => {
    const value = tf.reciprocal(tf.norm(matrix, 'euclidean', axis, true));
    return { value, gradFunc: () => tf.zerosLike(matrix) };
  })(matrix);
}

/** A weight whose tensor is computed on access, in the layer's tidy and on its tape. */
function correctedWeight(correction: TrainedCorrection): PackedWeight {
  return {
    ...rowsWeight(correction.base),
    get tensor() {
      return corrected(correction);
    },
  };
}

/** The plain matrix of a parameter; of a tied head, the embedding's. */
function baseMatrix(model: CausalLM, name: string): tf.Variable {
  const { parameters } = model;
  const parameter = parameters.get(name) ?? parameters.get(embeddingOf(model));
  if (parameter && !(parameter instanceof tf.Tensor)) {
    const { tensor: matrix } = parameter;
    if (parameter.layout === 'rows' && matrix instanceof tf.Variable) return matrix;
    throw new InvalidArgumentError(
      'model',
      'a model made with { trainable: true }',
      `${name} as ${parameter.format} packed as '${parameter.layout}'`,
    );
  }
  throw new ReneError(`${name} is not a matrix of this model`);
}

function embeddingOf({ config }: CausalLM): string {
  return blueprintOf(config).embedding;
}
