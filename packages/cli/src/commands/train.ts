// `rene train`: trains a new model on documents, or fine-tunes a model, in full or with LoRA.
import { readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { AutoModelForCausalLM, type CausalLM, readModelConfig, Tokenizer } from '@rene-js/rene';
import {
  checkRows,
  fileExists,
  TOKENIZER_FILES,
  withDefaults,
  writeFileAtomically,
} from '@rene-js/rene/internal';
import {
  LoraAdapter,
  splitTexts,
  type TokenDocuments,
  type TokenizerWithFiles,
  type TrainableModel,
  TrainingError,
  type TrainOptions,
  tinyConfig,
  tokenize,
  tokenizerFor,
  train,
} from '@rene-js/rene/training';
import { trainingProgress } from '../training/progress_bar.js';
import { readDocuments } from '../training/read_documents.js';
import { stopSignals } from './interrupt.js';
import { limitThreads, modelFolder, onNotice, tokenizerPath } from './load.js';
import { asUsageError } from './report_error.js';
import { checkFolders } from './train_folders.js';
import {
  checkCombination,
  SAVED_DTYPES,
  type TrainCommandOptions,
  trainOptions,
} from './train_options.js';

export async function runTrain(options: TrainCommandOptions): Promise<void> {
  checkCombination(options);
  const settings = trainOptions(options);
  try {
    const checked = withDefaults(settings);
    await checkFolders(options);
    const [trainingTexts, heldOutTexts] = await readTexts(options);
    const { model, revision } = options;
    const modelDir = model === undefined ? undefined : await modelFolder(model, revision);
    const { tokenizer, files } = await chooseTokenizer(options, modelDir, trainingTexts);
    const { repeat, repeatTimes } = options;
    const times = repeat && ((text: string) => (repeat.test(text) ? repeatTimes : 1));
    const training = tokenize(trainingTexts, tokenizer, times);
    const heldOut = tokenize(heldOutTexts, tokenizer);
    checkRows(training, checked);
    const counts = [training, heldOut].map(({ ids }) => ids.length.toLocaleString('en'));
    onNotice(`${counts[0]} tokens to train on, ${counts[1]} held out`);
    await trainModel(options, { ...settings, files }, { modelDir, tokenizer, training, heldOut });
  } catch (error) {
    throw asUsageError(error, [...Object.keys(settings), ...Object.keys(OTHER_FLAGS)], OTHER_FLAGS);
  }
}

/** Library arguments with other names on the command line. */
const OTHER_FLAGS = {
  heldOutFraction: '--held-out',
  vocabSize: '--vocab-size',
  rank: '--lora-rank',
  alpha: '--lora-alpha',
};

/** Training and held-out documents. */
async function readTexts(options: TrainCommandOptions): Promise<[string[], string[]]> {
  const { data, validation, heldOut, seed, dataFormat: format, textField } = options;
  const texts = await readDocuments(data, { format, textField });
  if (validation === undefined) return splitTexts(texts, heldOut, seed);
  return [texts, await readDocuments(validation, { format, textField })];
}

/** The given tokenizer, else the model's, else one trained on the documents. */
async function chooseTokenizer(
  { out, tokenizer: given, vocabSize }: TrainCommandOptions,
  modelDir: string | undefined,
  texts: readonly string[],
): Promise<TokenizerWithFiles> {
  const source = given ?? modelDir;
  if (source === undefined) return tokenizerFor(out, texts, vocabSize);
  const path = await tokenizerPath(source, given);
  const files = new Map([['tokenizer.json', new Uint8Array(await readFile(path))]]);
  for (const name of TOKENIZER_FILES) {
    const beside = `${dirname(path)}/${name}`;
    if (!files.has(name) && (await fileExists(beside))) files.set(name, await readFile(beside));
  }
  return { tokenizer: await Tokenizer.fromFile(path), files };
}

interface Inputs {
  modelDir: string | undefined;
  tokenizer: Tokenizer;
  training: TokenDocuments;
  heldOut: TokenDocuments;
}

async function trainModel(
  options: TrainCommandOptions,
  settings: TrainOptions,
  { modelDir, tokenizer, training, heldOut }: Inputs,
): Promise<void> {
  const model = await startModel(options, modelDir, tokenizer);
  const trainable = options.lora ? createAdapter(model, options) : model;
  try {
    const finished = await runTraining(trainable, training, heldOut, settings);
    if (finished && options.merge !== undefined) {
      await saveMerged(model, options, options.merge, settings.files ?? new Map());
    }
  } finally {
    if (trainable instanceof LoraAdapter) trainable.dispose();
    model.dispose();
  }
}

async function startModel(
  { config = 'tiny', backend, threads, seed }: TrainCommandOptions,
  modelDir: string | undefined,
  tokenizer: Tokenizer,
): Promise<CausalLM> {
  await limitThreads(threads);
  if (modelDir !== undefined) {
    return AutoModelForCausalLM.fromPretrained(modelDir, { backend, trainable: true, onNotice });
  }
  const sizes = config === 'tiny' ? tinyConfig(tokenizer.vocabSize) : await readModelConfig(config);
  if (sizes.paddedVocabSize < tokenizer.vocabSize) {
    throw new TrainingError(
      `${config}/config.json: vocab_size: expected at least the tokenizer's ` +
        `${tokenizer.vocabSize}, found ${sizes.vocabSize}`,
    );
  }
  return AutoModelForCausalLM.fromConfig(sizes, { backend, trainable: true, seed });
}

function createAdapter(
  model: CausalLM,
  { loraRank, loraAlpha, seed }: TrainCommandOptions,
): LoraAdapter {
  return LoraAdapter.create(model, { rank: loraRank, alpha: loraAlpha ?? 2 * loraRank, seed });
}

/** Trains. Returns false if a signal stopped the run. */
async function runTraining(
  model: TrainableModel,
  training: TokenDocuments,
  heldOut: TokenDocuments,
  settings: TrainOptions,
): Promise<boolean> {
  const stop = stopSignals();
  const progress = trainingProgress();
  try {
    const report = await train(model, training, heldOut, {
      ...settings,
      signal: stop.signal,
      ...progress,
    });
    progress.stop();
    const best = report.bestBitsPerByte?.toFixed(4) ?? 'not measured';
    onNotice(
      report.finished
        ? `done: ${report.tokens.toLocaleString('en')} tokens in ${Math.round(report.seconds)} s, ` +
            `best held-out loss ${best} bits per byte; the ${settings.keep} model is saved in ${settings.outDir}`
        : `stopped after step ${report.step}; run the same command again to continue`,
    );
    if (!report.finished) process.exitCode = stop.exitCode();
    return report.finished;
  } finally {
    progress.stop();
    stop.release();
  }
}

/** Merges the saved adapter of a run into its base model. */
async function saveMerged(
  model: CausalLM,
  { out, saveDtype }: TrainCommandOptions,
  dir: string,
  files: ReadonlyMap<string, Uint8Array>,
): Promise<void> {
  const adapter = await LoraAdapter.load(model, out);
  adapter.merge();
  await model.save(dir, { dtype: SAVED_DTYPES[saveDtype] });
  for (const [name, bytes] of files) {
    await writeFileAtomically(`${dir}/${name}`, (put) => put(bytes));
  }
  onNotice(`merged model saved in ${dir}`);
}
