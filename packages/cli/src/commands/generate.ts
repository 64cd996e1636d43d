// `rene generate [prompt]`: streams the continuation of a text to stdout. Statistics go to stderr.
import { text as readAll } from 'node:stream/consumers';
import {
  type CausalLM,
  GenerationAbortedError,
  readModelConfig,
  type StreamOptions,
  streamText,
  type Tokenizer,
} from '@rene-js/rene';
import { formatRate, formatSeconds, resolveOptions } from '@rene-js/rene/internal';
import type { GenerateOptions } from './generate_options.js';
import { INTERRUPTED, onInterrupt } from './interrupt.js';
import { checkVocabulary, loadModel, loadTokenizer, modelFolder } from './load.js';
import { LazyProgressBar } from './progress_bar.js';
import { asUsageError, UsageError } from './report_error.js';
import { samplingOf } from './sampling_options.js';

export async function runGenerate(
  argument: string | undefined,
  options: GenerateOptions,
): Promise<void> {
  const interrupt = onInterrupt();
  const prompt = await readPrompt(argument);
  const dir = await modelFolder(options.model, options.revision);
  const config = await readModelConfig(dir);
  const tokenizer = await loadTokenizer(dir, options.tokenizer);
  checkVocabulary(tokenizer, config);
  const generation = { ...generationOptions(options), signal: interrupt.signal };
  try {
    // Validate the options before loading a large model.
    resolveOptions({ ...generation, tokenizer }, config);
    const model = await loadModel(dir, options);
    interrupt.catch();
    await write(model, tokenizer, prompt, generation, options);
  } catch (error) {
    throw asUsageError(error, Object.keys(generation), {
      stopStrings: '--stop',
      promptLookupNumTokens: '--prompt-lookup',
    });
  }
}

/** Drafted tokens of `--prompt-lookup` without a number. */
const PROMPT_LOOKUP = 10;

async function readPrompt(argument: string | undefined): Promise<string> {
  if (argument === undefined && process.stdin.isTTY) {
    throw new UsageError(
      'expected a prompt, as an argument or on stdin: rene generate "Once upon"',
    );
  }
  // Strip the final newline of a text file: it is not part of the prompt.
  const prompt = argument ?? (await readAll(process.stdin)).replace(/\r?\n$/, '');
  if (prompt === '') {
    throw new UsageError('expected a prompt, as an argument in quotes or on stdin; found no text');
  }
  return prompt;
}

function generationOptions(options: GenerateOptions): StreamOptions {
  const { maxNewTokens, maxLength, minNewTokens, repetitionPenalty, stop, promptLookup } = options;
  const sampling = samplingOf(options);
  const isGreedy = sampling.temperature === 0 || sampling.topK === 1;
  const samples = !isGreedy && Object.values(sampling).some((value) => value !== undefined);
  // Drawn here, so that the seed can be printed even if generation is interrupted.
  if (samples) sampling.seed ??= String(Math.floor(Math.random() * 2 ** 32));
  return {
    ...sampling,
    maxNewTokens,
    maxLength,
    minNewTokens,
    repetitionPenalty,
    stopStrings: stop,
    promptLookupNumTokens: promptLookup === true ? PROMPT_LOOKUP : promptLookup,
  };
}

async function write(
  model: CausalLM,
  tokenizer: Tokenizer,
  prompt: string,
  generation: StreamOptions,
  { echo, quiet }: GenerateOptions,
): Promise<void> {
  const clock = new Clock();
  const bar = new LazyProgressBar('prefill [{bar}] {percentage}% {eta_formatted} left');
  const pieces = streamText(model, tokenizer, prompt, {
    ...generation,
    onProgress({ promptTokens, promptLength, newTokens }) {
      clock.note(promptTokens, newTokens);
      if (newTokens === 0) bar.update(promptTokens, promptLength);
      else bar.stop();
    },
  });
  let written = false;
  try {
    for await (const piece of pieces) {
      process.stdout.write(echo && !written ? prompt + piece : piece);
      written = true;
    }
    if (echo && !written) process.stdout.write(prompt);
    written = true;
  } catch (error) {
    if (!(error instanceof GenerationAbortedError)) throw error;
    process.exitCode = INTERRUPTED;
  } finally {
    bar.stop();
    if (written) process.stdout.write('\n');
    model.dispose();
  }
  if (quiet) return;
  const seed = generation.seed === undefined ? '' : `, seed ${generation.seed}`;
  process.stderr.write(`${clock.summary()} (backend ${model.backend}${seed})\n`);
}

/** Measures prefill and decode time. */
class Clock {
  private readonly begin = performance.now();
  private firstToken = 0;
  private lastToken = 0;
  private promptTokens = 0;
  private newTokens = 0;

  note(promptTokens: number, newTokens: number): void {
    this.promptTokens = promptTokens;
    this.newTokens = newTokens;
    this.lastToken = performance.now();
    if (newTokens <= 1) this.firstToken = this.lastToken;
  }

  summary(): string {
    const { begin, firstToken, lastToken, promptTokens, newTokens } = this;
    const prefill = formatSeconds((firstToken - begin) / 1000);
    const prompt = `${promptTokens} prompt tokens in ${prefill} s`;
    if (newTokens < 2) return `${prompt}, ${newTokens} new`;
    // The prefill's logits give the first new token.
    const decode = formatSeconds((lastToken - firstToken) / 1000);
    const decoded = newTokens - 1;
    const rate = formatRate(decoded, decode);
    return `${prompt}, 1 new token with them, ${decoded} new token${decoded === 1 ? '' : 's'} in ${decode} s, ${rate} tokens/s`;
  }
}
