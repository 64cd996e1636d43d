// CausalLM: token ids in, logits out. Embedding, blocks, final norm, head.
import {
  disposeParameters,
  InvalidArgumentError,
  type LayerState,
  type Parameter,
  Parameters,
  type ResidualBlock,
  RMSNorm,
} from '@rene-js/layers';
import {
  compileStep,
  type DecodeStep,
  hasStepCompiler,
  type ReadTensor,
} from '@rene-js/layers/internal';
import * as tf from '@tensorflow/tfjs-core';
import type { Backbone, Blueprint } from './architectures/blueprint.js';
import { layerParameters } from './architectures/derived_parameters.js';
import { blueprintOf, modelConfigToJson } from './architectures/index.js';
import type { ModelConfig } from './architectures/model_config.js';
import { jsonFile } from './checkpoint/json_file.js';
import { type SaveOptions, saveCheckpoint } from './checkpoint/save_checkpoint.js';
import { ReneError } from './errors.js';
import { type ForwardOptions, forwardSteps, runInTurns } from './forward_steps.js';
import { fingerprint } from './generation/fingerprint.js';
import { type GenerateResult, generate } from './generation/generate.js';
import type { GenerationDefaults } from './generation/generation_defaults.js';
import type { GenerateOptions, StreamOptions } from './generation/options.js';
import { type PrefillOptions, prefill } from './generation/prefill.js';
import { stream } from './generation/stream.js';
import { RecurrentState } from './state.js';
import { summarize } from './summary.js';
import { checkIds, checkPlaces, type TokenIds } from './token_ids.js';

export type { ForwardOptions };

/**
 * The language model. It belongs to the backend that it was loaded on, and owns its parameters:
 * dispose() frees them.
 */
export class CausalLM<Config extends ModelConfig = ModelConfig> implements tf.InferenceModel {
  readonly inputs: tf.ModelTensorInfo[];
  readonly outputs: tf.ModelTensorInfo[];
  /** The tfjs backend of the parameters. */
  readonly backend = tf.getBackend();
  private readonly blueprint: Blueprint;
  private readonly backbone: Backbone;
  /** The blocks of all layers. */
  private readonly blocks: readonly ResidualBlock[];
  private disposed = false;
  /** The shapes of this model's states; computed once. */
  private stateForm: readonly string[] | undefined;

  constructor(
    readonly config: Config,
    /**
     * Keyed by the names of the original's state_dict. A hybrid that is not in training has its layers'
     * names, since some of its parameters join several of the original's matrices.
     */
    readonly parameters: ReadonlyMap<string, Parameter>,
    /** Generation defaults of the model, for options that the user does not give. */
    readonly generationConfig: GenerationDefaults = {},
  ) {
    this.blueprint = blueprintOf(config);
    this.backbone = this.blueprint.build(
      new Parameters(layerParameters(this.blueprint, parameters)),
    );
    this.blocks = this.backbone.layers.flat();
    this.inputs = [{ name: 'input_ids', shape: [-1, -1], dtype: 'int32' }];
    this.outputs = [{ name: 'logits', shape: [-1, -1, config.paddedVocabSize], dtype: 'float32' }];
  }

  /**
   * Writes config.json and model.safetensors, as the original loads them, into a folder, with
   * generation_config.json if the model has one, and the given tokenizer.
   *
   * @param dir a path or a file URL; created if necessary
   * @throws InvalidArgumentError, CheckpointError; FileError naming the file that cannot be written. The
   *   folder is then unchanged.
   */
  async save(dir: string | URL, options: SaveOptions = {}): Promise<void> {
    this.checkBackend();
    const { config, parameters, generationConfig } = this;
    const { json } = generationConfig;
    const others = json ? [jsonFile('generation_config.json', json)] : [];
    const configJson = modelConfigToJson(config);
    await saveCheckpoint(dir, this.blueprint, parameters, configJson, options, others);
  }

  /**
   * Logits of the next token after each token.
   *
   * @param ids (B, L), rows of equal length >= 1; the values of an int32 tensor are not checked
   * @returns float32 (B, L, paddedVocabSize), or (B, logitsToKeep, paddedVocabSize), or (logitsAt.length,
   *   1, paddedVocabSize)
   * @throws InvalidArgumentError for ids out of range or rows of different lengths. An error inside the
   *   layers makes the state unusable; an error about an argument does not.
   */
  forward(ids: TokenIds, options: ForwardOptions = {}): tf.Tensor3D {
    const steps = this.forwardSteps(ids, options);
    return tf.tidy(() => {
      for (;;) {
        const step = steps.next();
        if (step.done) return step.value;
      }
    });
  }

  /** @internal As forward. A page draws its frames between two layers. */
  async forwardInTurns(ids: TokenIds, options: ForwardOptions = {}): Promise<tf.Tensor3D> {
    return runInTurns(this.forwardSteps(ids, options), () => this.checkBackend());
  }

  private forwardSteps(ids: TokenIds, options: ForwardOptions) {
    this.checkBackend();
    const { state, logitsToKeep, logitsAt, recompute } = options;
    const shape = checkIds(ids, this.config);
    const [batch, length] = shape;
    if (state) this.checkState(state, batch);
    const kept = Math.min(logitsToKeep ?? length, length);
    if (!Number.isInteger(kept) || kept < 1) {
      throw new InvalidArgumentError('logitsToKeep', 'a whole number from 1', String(logitsToKeep));
    }
    if (recompute && state)
      throw new InvalidArgumentError('recompute', 'no state together with it', 'a state');
    checkPlaces(logitsAt, batch * length);
    const { backbone, config } = this;
    return forwardSteps({
      ...{ backbone, paddedVocabSize: config.paddedVocabSize, ids, shape, kept, options },
      variablesOf: (i, variables) => this.variablesOf(i, variables),
    });
  }

  /**
   * A compiled decode step for up to `batch` rows, if the backend has one (`simd`, `cuda` and `webgpu`).
   * generate() and stream() use it. The caller disposes it, before the model.
   *
   * @param vocabSize ids from here on are never sampled
   * @returns undefined on other backends, for a model in training, and with LayerNorm
   */
  compileStep(batch = 1, vocabSize = this.config.vocabSize): DecodeStep | undefined {
    this.checkBackend();
    if (!hasStepCompiler()) return undefined;
    const { embedding, embeddingScale, normF, head, headBias } = this.backbone;
    tf.engine().startScope();
    try {
      const blocks = this.blocks.flatMap(({ norm, mixer, isParallel, streamFactor }) => {
        const parts = mixer.parts();
        return norm instanceof RMSNorm && parts
          ? [{ norm, mixer: parts, isParallel, streamFactor }]
          : [];
      });
      if (blocks.length < this.blocks.length || !(normF instanceof RMSNorm)) return undefined;
      const { weight } = embedding;
      return compileStep(
        { embedding: weight, embeddingScale, blocks, normF, head, headBias, vocabSize },
        batch,
      );
    } finally {
      tf.engine().endScope();
    }
  }

  /** The state before the first token of a sequence. */
  initialState(batch = 1): RecurrentState {
    this.checkBackend();
    if (!Number.isInteger(batch) || batch < 1) {
      throw new InvalidArgumentError('batch', 'a whole number from 1', String(batch));
    }
    return new RecurrentState(
      this.blocks.map(({ mixer }) => mixer.initialState(batch)),
      Array(batch).fill(0),
      this,
    );
  }

  /**
   * Restores a state that `state.save(path)` wrote, on any backend and in any dtype of this model.
   *
   * @throws CheckpointError if the file is not a state file, GenerationError for the state of another model
   */
  async restoreState(path: string | URL): Promise<RecurrentState> {
    this.checkBackend();
    const { readStateFile } = await import('./state_file.js');
    const { layers, positions } = await readStateFile(path, this);
    return new RecurrentState(layers, positions, this);
  }

  /** @internal For state files and states in host memory. */
  async restoreLayers(
    read: (block: number) => ReadTensor,
    positions: readonly number[],
  ): Promise<(LayerState | null)[]> {
    this.checkBackend();
    const layers: (LayerState | null)[] = [];
    try {
      for (const [i, { mixer }] of this.blocks.entries()) {
        layers.push(await mixer.restoreState(read(i), positions));
      }
      return layers;
    } catch (error) {
      for (const layer of layers) layer?.dispose();
      throw error;
    }
  }

  /**
   * A hash of the configuration and of all parameters except the matrices, which identifies the model. It is
   * the same in every dtype and on every backend.
   */
  async fingerprint(): Promise<string> {
    this.checkBackend();
    return fingerprint(this.config, this.parameters);
  }

  /**
   * Continues prompts; see GenerateOptions. A prompt's result does not depend on the others.
   *
   * @param ids a prompt, or several of any lengths
   * @throws InvalidArgumentError, GenerationError, GenerationAbortedError
   */
  async generate(
    ids: readonly number[] | readonly (readonly number[])[],
    options?: GenerateOptions,
  ): Promise<GenerateResult> {
    this.checkBackend();
    return generate(this, ids, options);
  }

  /**
   * Continues one prompt. Yields each new token's id as soon as it is sampled. Leaving a `for await` early
   * frees everything.
   *
   * @throws InvalidArgumentError at once; GenerationError, GenerationAbortedError while it runs
   */
  stream(
    ids: readonly number[],
    options?: StreamOptions,
  ): AsyncGenerator<number, GenerateResult, void> {
    this.checkBackend();
    return stream(this, ids, options);
  }

  /**
   * Prefills one or several prompts of any lengths. `generate(more, { state })` continues the state, any
   * number of times.
   *
   * @returns the state, one row per prompt; the caller disposes it
   * @throws InvalidArgumentError, GenerationAbortedError
   */
  async prefill(
    ids: readonly number[] | readonly (readonly number[])[],
    options?: PrefillOptions,
  ): Promise<RecurrentState> {
    this.checkBackend();
    return prefill(this, ids, options);
  }

  /** tf.InferenceModel: input_ids int32 (B, L) to logits (B, L, paddedVocabSize). */
  predict(inputs: tf.Tensor | tf.Tensor[] | tf.NamedTensorMap): tf.Tensor3D {
    const ids =
      inputs instanceof tf.Tensor ? inputs : Array.isArray(inputs) ? inputs[0] : inputs.input_ids;
    if (!ids) throw new InvalidArgumentError('inputs', "a tensor 'input_ids'", 'none');
    return this.forward(ids);
  }

  /** tf.InferenceModel: like predict; the only output is 'logits'. */
  execute(
    inputs: tf.Tensor | tf.Tensor[] | tf.NamedTensorMap,
    outputs: string | string[] = 'logits',
  ): tf.Tensor | tf.Tensor[] {
    const names = Array.isArray(outputs) ? outputs : [outputs];
    const unknown = names.find((name) => name !== 'logits');
    if (unknown !== undefined) throw new InvalidArgumentError('outputs', "'logits'", unknown);
    const logits = this.predict(inputs);
    return Array.isArray(outputs)
      ? names.map((_, i) => (i === 0 ? logits : tf.clone(logits)))
      : logits;
  }

  /** The variables of a model made with `trainable: true`, by parameter name; empty otherwise. */
  get trainableVariables(): Map<string, tf.Variable> {
    const variables = new Map<string, tf.Variable>();
    for (const [name, parameter] of this.parameters) {
      const tensor = parameter instanceof tf.Tensor ? parameter : parameter.tensor;
      if (tensor instanceof tf.Variable) variables.set(name, tensor);
    }
    return variables;
  }

  /** Prints the blocks with their parameters, as tf.LayersModel does. */
  summary(print: (line: string) => void = console.log): void {
    for (const line of summarize(this.config, this.blueprint.tensors)) print(line);
  }

  /** Frees the parameters. States must be disposed by the user. */
  dispose(): void {
    for (const { mixer } of this.blocks) mixer.dispose();
    disposeParameters(this.parameters);
    this.disposed = true;
  }

  private checkBackend(): void {
    if (this.disposed) throw new ReneError('this model was disposed: load it again');
    if (tf.getBackend() === this.backend) return;
    throw new ReneError(
      `this model was loaded on the backend '${this.backend}', but the current one is '${tf.getBackend()}': ` +
        `call tf.setBackend('${this.backend}'), or load the model again`,
    );
  }

  /** The variables of layer i. */
  private variablesOf(i: number, variables: ReadonlyMap<string, tf.Variable>): tf.Variable[] {
    const prefix = this.blueprint.outline.layers[i]?.prefix ?? '';
    return [...variables].flatMap(([name, variable]) =>
      name.startsWith(prefix) ? [variable] : [],
    );
  }

  private checkState(state: RecurrentState, batch: number): void {
    state.check();
    if (this.stateForm === undefined) {
      const own = this.initialState();
      this.stateForm = own.form;
      own.dispose();
    }
    state.checkForm('state', this.stateForm);
    if (state.batch !== batch) {
      throw new InvalidArgumentError(
        'ids',
        `${state.batch} rows, the state's batch size`,
        String(batch),
      );
    }
  }
}
