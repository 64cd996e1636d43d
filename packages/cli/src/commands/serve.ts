// `rene serve [model]`: an HTTP server with OpenAI's completions API.
import { once } from 'node:events';
import { createServer as createTcpServer } from 'node:net';
import { basename, resolve } from 'node:path';
import { readConfig, Tokenizer } from '@rene-js/rene';
import { EMBEDDED_MODEL, folderExists } from '@rene-js/rene/internal';
import { type Command, InvalidArgumentError } from 'commander';
import { createServer } from '../serving/server.js';
import { TokenizerThread } from '../serving/tokenizer_thread.js';
import { ServingError, WorkerEngine } from '../serving/worker_engine.js';
import { INTERRUPTED } from './interrupt.js';
import {
  addBackendOptions,
  addLoraOption,
  addModelOptions,
  checkVocabulary,
  type LoadOptions,
  modelFolder,
  onNotice,
  tokenizerPath,
} from './load.js';
import { wholeNumber } from './numbers.js';
import { withProgressBar } from './progress_bar.js';
import { UsageError } from './report_error.js';

interface Options extends LoadOptions {
  host: string;
  port: number;
  apiKey: readonly string[];
  cors: readonly string[];
  allowedHosts: readonly string[];
  servedModelName?: string;
  maxBatch?: number;
  maxWaiting: number;
  maxLength: number;
  bodyLimit: number;
  grace: number;
  log: boolean;
}

export function addServe(program: Command): void {
  const command = program
    .command('serve')
    .description("serve a model over HTTP, by OpenAI's completions API")
    .argument('[model]', 'model folder or hub id (default: rene-tiny, which is included)');
  addModelOptions(command)
    .option('--host <address>', 'address to listen at; 0.0.0.0 for all', '127.0.0.1')
    .option('-p, --port <n>', 'port to listen at; 0 for any free one', portNumber, 8000)
    .option(
      '--api-key <key>',
      'clients must send it; may be given several times (default: $RENE_API_KEY, else none)',
      (key: string, keys: readonly string[]) => [...keys, key],
      [],
    )
    .option(
      '--cors <origins>',
      'origins of web pages that may ask, with commas; * for any',
      list,
      [],
    )
    .option(
      '--allowed-hosts <names>',
      'host names, with commas, that a server on a loopback address without a key answers to, ' +
        'besides localhost; * for any',
      list,
      [],
    )
    .option('--served-model-name <name>', "what requests call it (default: the model's name)")
    .option(
      '--max-length <n>',
      'maximum number of tokens of a prompt and its continuation',
      positive,
      4096,
    )
    .option(
      '--max-batch <n>',
      'maximum number of sequences decoded together (default: by memory)',
      positive,
    )
    .option('--max-waiting <n>', 'sequences that may wait before clients get 429', nonNegative, 256)
    .option('--body-limit <bytes>', 'maximum size of a request', positive, 4 * 1024 * 1024)
    .option('--grace <seconds>', 'time for requests in progress on Ctrl-C', nonNegative, 30)
    .option('--log', 'write a line of JSON for each request to stderr', false);
  addLoraOption(addBackendOptions(command));
  command.addHelpText(
    'after',
    `
Routes: POST /v1/completions, GET /v1/models, GET /health, POST /tokenize, POST /detokenize,
GET /tokenizer_info. Ctrl-C lets requests in progress end; a second one does not.`,
  );
  command.action(run);
}

async function run(argument: string | undefined, options: Options): Promise<void> {
  const { host, port, backend, dtype, lora, threads, maxBatch: slots } = options;
  const name = chosenModel(argument, options.model);
  await checkAddress(host, port); // before a large model is loaded
  const dir = await modelFolder(name, options.revision);
  const path = await tokenizerPath(dir, options.tokenizer);
  const tokenizer = await Tokenizer.fromFile(path);
  checkVocabulary(tokenizer, await readConfig(dir));
  const modelName = options.servedModelName ?? (await shortName(name));
  const settings = { dir, tokenizerPath: path, backend, dtype, lora, threads, slots };
  const engine = await withProgressBar(
    'loading the model [{bar}] {percentage}% {eta_formatted} left',
    (onProgress) => WorkerEngine.start(settings, { onProgress, onNotice }),
  );
  const { RENE_API_KEY = '' } = process.env;
  const given = options.apiKey.length > 0 ? options.apiKey : [RENE_API_KEY];
  const apiKey = given.filter((key) => key !== '');
  const encoder = new TokenizerThread(path, tokenizer);
  const server = createServer({
    engine,
    encoder,
    tokenizer,
    modelName,
    vocabSize: engine.vocabSize,
    maxLength: options.maxLength,
    maxWaiting: options.maxWaiting,
    bodyLimit: options.bodyLimit,
    log: options.log,
    apiKey,
    corsOrigins: options.cors,
    allowedHosts: options.allowedHosts,
    onError: ({ stack }) => onNotice(`error: ${stack}`),
  });
  /** @param grace milliseconds for requests in progress */
  const close = async (grace: number) => {
    const timers = [
      setTimeout(() => void engine.close(), grace),
      // Answers that nobody reads would keep their connections.
      setTimeout(() => server.server.closeAllConnections(), grace + LAST_WORDS),
    ];
    await server.close();
    for (const timer of timers) clearTimeout(timer);
    await Promise.all([engine.close(), encoder.close()]);
  };
  let url: string;
  try {
    url = await server.listen({ host, port });
  } catch (error) {
    await close(0);
    throw addressError(error, host, port);
  }
  closeWhenAsked(engine, close, options.grace);
  greet(modelName, url, engine, options.maxLength, apiKey.length > 0);
}

/** Milliseconds in which clients are told that their request has ended. */
const LAST_WORDS = 1000;

/** On the first signal, which lets requests in progress end; and when the model is lost. */
function closeWhenAsked(
  engine: WorkerEngine,
  close: (grace: number) => Promise<void>,
  graceSeconds: number,
): void {
  let isClosing = false;
  const onSignal = () => {
    if (isClosing) process.exit(INTERRUPTED);
    isClosing = true;
    const { active, waiting } = engine.load();
    if (active + waiting > 0) {
      const patience = `at most ${graceSeconds} s; Ctrl-C again ends them`;
      onNotice(`finishing ${active + waiting} in progress, for ${patience}`);
    }
    void close(graceSeconds * 1000);
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  void engine.down.then((reason) => {
    if (isClosing) return;
    isClosing = true;
    onNotice(`error: ${reason}`);
    process.exitCode = 1;
    void close(0);
  });
}

/** What the user needs to know, and a request to try. */
function greet(
  modelName: string,
  url: string,
  engine: WorkerEngine,
  maxLength: number,
  needsKey: boolean,
): void {
  const { slots } = engine.load();
  const key = needsKey ? " -H 'Authorization: Bearer KEY'" : '';
  const body = JSON.stringify({ prompt: 'Rene Descartes was', max_tokens: 32, stream: true });
  process.stderr.write(
    `${modelName} at ${url}/v1/completions ` +
      `(backend ${engine.backend}, up to ${slots} sequences at once, ${maxLength} tokens each)\n` +
      `  curl -N ${url}/v1/completions -H 'Content-Type: application/json'${key} -d '${body}'\n`,
  );
}

/** @throws UsageError where the model is given twice */
function chosenModel(argument: string | undefined, option: string | undefined): string {
  if (argument !== undefined && option !== undefined && argument !== option) {
    throw new UsageError(
      `two models are given, '${argument}' and --model '${option}'; the server has one: give one of them`,
    );
  }
  return argument ?? option ?? EMBEDDED_MODEL;
}

/** A folder by its own name, anything else as it is. */
async function shortName(model: string): Promise<string> {
  return (await folderExists(model)) ? basename(resolve(model)) : model;
}

/** @throws ServingError when one cannot listen there */
async function checkAddress(host: string, port: number): Promise<void> {
  const probe = createTcpServer();
  try {
    probe.listen({ host, port });
    await once(probe, 'listening');
  } catch (error) {
    throw addressError(error, host, port);
  } finally {
    probe.close();
  }
}

function addressError(error: unknown, host: string, port: number): unknown {
  if (!(error instanceof Error) || !('code' in error)) return error;
  switch (error.code) {
    case 'EADDRINUSE':
      return new ServingError(
        `port ${port} of ${host} is taken: stop what listens there, or choose another one with --port`,
      );
    case 'EACCES':
      return new ServingError(`port ${port}: not permitted; choose one from 1024 with --port`);
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new ServingError(`${host}: no address of this machine; choose one with --host`);
    default:
      return error;
  }
}

function list(text: string): readonly string[] {
  return text
    .split(',')
    .map((item) => item.trim())
    .filter((item) => item !== '');
}

function positive(text: string): number {
  const value = wholeNumber(text);
  if (value >= 1) return value;
  throw new InvalidArgumentError('It must be 1 or more.');
}

function nonNegative(text: string): number {
  const value = wholeNumber(text);
  if (value >= 0) return value;
  throw new InvalidArgumentError('It must be 0 or more.');
}

function portNumber(text: string): number {
  const value = wholeNumber(text);
  if (value >= 0 && value <= 65535) return value;
  throw new InvalidArgumentError('It must be 0 to 65535.');
}
