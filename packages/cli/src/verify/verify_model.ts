// Checks a model folder against float64 results of the original: hidden states, logits, recurrent states,
// decoding, greedy ids and gradients.
import { AttentionState, Mamba2State, weightPacker } from '@rene-js/layers';
import { kvCacheFormatOf, kvCacheShapeOf, kvCacheValues } from '@rene-js/layers/internal';
import {
  AutoModelForCausalLM,
  type CausalLM,
  type ModelOptions,
  type RecurrentState,
} from '@rene-js/rene';
import { fileExists, nextTokenLoss } from '@rene-js/rene/internal';
import * as tf from '@tensorflow/tfjs-core';
import {
  type Check,
  checkIds,
  forRoundedProducts,
  type VerifyOptions,
  WorstError,
} from './check.js';
import { ReferenceFile, tidily } from './reference_file.js';
import { verifyGenerate } from './verify_generate.js';

/** Loads the model of a folder and runs every check for which golden.safetensors has values. */
export async function* verifyModel(
  folder: string,
  options: VerifyOptions,
  modelOptions: ModelOptions,
): AsyncGenerator<Check> {
  const model = await AutoModelForCausalLM.fromPretrained(folder, modelOptions);
  try {
    const valueOptions =
      roundsProducts(model) || roundsKeys(model) ? forRoundedProducts(options) : options;
    const golden = await ReferenceFile.open(`${folder}/golden.safetensors`);
    try {
      yield* await tidily(() => checkForward(folder, model, golden, valueOptions));
      yield* await tidily(() => checkDecode(folder, model, golden, valueOptions));
    } finally {
      await golden.close();
    }
    if (await fileExists(`${folder}/generate.json`)) yield* verifyGenerate(folder, model);
  } finally {
    model.dispose();
  }
  if (await fileExists(`${folder}/grads.safetensors`)) {
    yield await checkGradients(folder, options, modelOptions);
  }
}

/** Whether matmuls with the model's matrices round activations to 16 bits on this backend. */
function roundsProducts({ parameters }: CausalLM): boolean {
  const rounded = weightPacker().roundedProducts ?? [];
  return [...parameters.values()].some((p) => 'format' in p && rounded.includes(p.format));
}

/** Whether attention rounds keys and values to 16 bits, in the model's states and without a state. */
function roundsKeys(model: CausalLM): boolean {
  const state = model.initialState(1);
  try {
    return state.layers.some(
      (layer) => layer instanceof AttentionState && kvCacheFormatOf(layer.k) === 'bf16',
    );
  } finally {
    state.dispose();
  }
}

async function checkForward(
  folder: string,
  model: CausalLM,
  golden: ReferenceFile,
  { relative, tolerances }: VerifyOptions,
): Promise<Check[]> {
  const seen = new Map<string, tf.Tensor>();
  const logits = model.forward(await golden.tensor('input_ids'), {
    onHidden: (name, hidden) => seen.set(name, tf.keep(tf.clone(hidden))),
  });
  const hiddenError = new WorstError(relative);
  try {
    for (const [name, expected] of Object.entries(await golden.tensors('hidden.'))) {
      const own = hiddenName(model, name);
      await hiddenError.add(`hidden.${name}`, seen.get(own) ?? tf.zeros([0]), expected);
    }
  } finally {
    tf.dispose([...seen.values()]);
  }
  const logitsError = new WorstError(relative);
  await logitsError.add('logits', logits, await golden.tensor('logits'));
  return [
    hiddenError.toCheck(folder, 'hidden states', tolerances.values),
    logitsError.toCheck(folder, 'logits', tolerances.values),
  ];
}

/**
 * Our name of a reference's hidden state. References number them as in the library's list, which omits the
 * embedding in transformers' Mamba-2, and the last layer's output in all of its models.
 */
function hiddenName({ config }: CausalLM, name: string): string {
  const isShifted = 'modelType' in config && config.modelType === 'mamba2';
  if (!isShifted || name === 'norm_f') return name;
  return name === 'embed' ? '0' : String(Number(name) + 1);
}

async function checkDecode(
  folder: string,
  model: CausalLM,
  golden: ReferenceFile,
  { relative, tolerances }: VerifyOptions,
): Promise<Check[]> {
  const ids = await golden.tensor('input_ids');
  const [batch = 1] = ids.shape;
  const state = model.initialState(batch);
  try {
    const prompt = model.forward(ids, { state });
    const promptError = new WorstError(relative);
    await promptError.add('logits', prompt, await golden.tensor('logits'));
    // Other libraries' states have other layouts, so their references contain none.
    const hasStates = golden.names.some((name) => name.startsWith('prefill.'));
    const prefillError = new WorstError(relative);
    if (hasStates) await compareStates('prefill', state, golden, prefillError);

    const tokens = await golden.tensor('decode.input_ids');
    const steps = tf
      .split(tokens, tokens.shape[1] ?? 1, 1)
      .map((token) => model.forward(token, { state }));
    const decodeError = new WorstError(relative);
    await decodeError.add(
      'decode.logits',
      tf.concat(steps, 1),
      await golden.tensor('decode.logits'),
    );
    const afterError = new WorstError(relative);
    if (hasStates) await compareStates('after_decode', state, golden, afterError);

    const checks = [
      promptError.toCheck(folder, 'prefill logits', tolerances.values),
      ...(hasStates
        ? [prefillError.toCheck(folder, 'states after prefill', tolerances.values)]
        : []),
      decodeError.toCheck(folder, 'decode logits', tolerances.values),
      ...(hasStates ? [afterError.toCheck(folder, 'states after decode', tolerances.values)] : []),
    ];
    if (!golden.names.includes('greedy.ids')) return checks;
    return [...checks, await checkGreedy(folder, model, golden)];
  } finally {
    state.dispose();
  }
}

/**
 * The original's states have other layouts: conv is (B, D, W), and keys and values cover the whole sequence.
 */
async function compareStates(
  when: string,
  state: RecurrentState,
  golden: ReferenceFile,
  worst: WorstError,
): Promise<void> {
  for (const [i, layer] of state.layers.entries()) {
    if (layer instanceof Mamba2State) {
      const conv = tf.transpose(layer.conv, [0, 2, 1]);
      await worst.add(`conv_state.${i}`, conv, await golden.tensor(`${when}.conv_state.${i}`));
      await worst.add(`ssm_state.${i}`, layer.ssm, await golden.tensor(`${when}.ssm_state.${i}`));
    } else if (layer instanceof AttentionState) {
      for (const [name, cache] of [['k', layer.k] as const, ['v', layer.v] as const]) {
        const whole = await golden.tensor(`${when}.${name}.${i}`);
        const values = tf.tensor(await kvCacheValues(cache), [...kvCacheShapeOf(cache)]);
        await worst.add(`${name}.${i}`, ...sameTokens(values, whole));
      }
    }
  }
}

/** The tokens of a cache, oldest first, from the cache and from the whole sequence. */
function sameTokens(cache: tf.Tensor, whole: tf.Tensor): [actual: tf.Tensor, expected: tf.Tensor] {
  const capacity = cache.shape[1] ?? 1;
  const length = whole.shape[1] ?? 0;
  const held = Math.min(capacity, length);
  const slots = Array.from({ length: held }, (_, i) => (length - held + i) % capacity);
  return [
    tf.gather(cache, tf.tensor1d(slots, 'int32'), 1),
    tf.slice(whole, [0, length - held, 0, 0], [-1, held, -1, -1]),
  ];
}

/** Greedy decoding from the prompt, over the padded vocabulary as the original does. */
async function checkGreedy(folder: string, model: CausalLM, golden: ReferenceFile): Promise<Check> {
  const prompt = await golden.tensor('input_ids');
  const expected = await (await golden.tensor('greedy.ids')).array();
  const rows = Array.isArray(expected)
    ? expected.map((row) => (Array.isArray(row) ? row : []))
    : [];
  const state = model.initialState(prompt.shape[0]);
  const actual: number[][] = rows.map(() => []);
  try {
    let next = prompt;
    for (let step = 0; step < (rows[0]?.length ?? 0); step++) {
      const logits = model.forward(next, { state, logitsToKeep: 1 });
      next = tf.cast(tf.argMax(logits, -1), 'int32');
      for (const [row, id] of (await next.data()).entries()) actual[row]?.push(id);
    }
  } finally {
    state.dispose();
  }
  const pairs = rows.map((row, i) => ({
    where: `row ${i}`,
    actual: actual[i] ?? [],
    expected: row.map(Number),
  }));
  return checkIds(folder, 'greedy ids', pairs);
}

async function checkGradients(
  folder: string,
  { relative, tolerances }: VerifyOptions,
  { backend }: ModelOptions,
): Promise<Check> {
  const model = await AutoModelForCausalLM.fromPretrained(folder, { backend, trainable: true });
  const golden = await ReferenceFile.open(`${folder}/golden.safetensors`);
  const reference = await ReferenceFile.open(`${folder}/grads.safetensors`);
  try {
    return await tidily(async () => {
      const ids = await golden.tensor('input_ids');
      const variables = model.trainableVariables;
      const { value, grads } = tf.variableGrads(
        () => nextTokenLoss(model, ids),
        [...variables.values()],
      );
      const worst = new WorstError(relative);
      await worst.add('loss', value, await reference.tensor('loss'));
      for (const name of reference.names) {
        if (!name.startsWith('grad.')) continue;
        const variable = variables.get(name.slice('grad.'.length));
        const gradient = variable && grads[variable.name];
        await worst.add(name, gradient ?? tf.zeros([0]), await reference.tensor(name));
      }
      return worst.toCheck(folder, 'loss and gradients', tolerances.gradients);
    });
  } finally {
    await Promise.all([golden.close(), reference.close()]);
    model.dispose();
  }
}
