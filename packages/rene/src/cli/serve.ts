// `rene serve [model]`: an HTTP server with OpenAI's completions API.
import { once } from 'node:events';
import { createServer as createTcpServer } from 'node:net';
import { basename, resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { EMBEDDED_MODEL } from '../checkpoint/model_names.js';
import { folderExists } from '../checkpoint/node_files.js';
import { createServer } from '../serving/server.js';
import { TokenizerThread } from '../serving/tokenizer_thread.js';
import { ServingError, WorkerEngine } from '../serving/worker_engine.js';
import { Tokenizer } from '../tokenizer.js';
import { INTERRUPTED } from './interrupt.js';
import {
  addBackendOptions,
  addLoraOption,
  addModelOptions,
  type LoadOptions,
  modelFolder,
  onNotice,
  tokenizerPath,
} from './load.js';
import { wholeNumber } from './numbers.js';
import { withProgressBar } from './progress_bar.js';

interface Options extends LoadOptions {
  host: string;
  port: number;
  apiKey?: string;
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
    .option('--api-key <key>', 'clients must send it (default: $RENE_API_KEY, else none)')
    .option('--served-model-name <name>', "what requests call it (default: the model's name)")
    .option('--max-length <n>', 'most tokens of a prompt and its continuation', positive, 4096)
    .option('--max-batch <n>', 'most sequences decoded together (default: by memory)', positive)
    .option('--max-waiting <n>', 'sequences that may wait before clients get 429', nonNegative, 256)
    .option('--body-limit <bytes>', 'largest request', positive, 4 * 1024 * 1024)
    .option('--grace <seconds>', 'at the end, time for requests in progress', nonNegative, 30)
    .option('--log', 'a line of JSON for each request on stderr', false);
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
  await checkAddress(host, port); // before a large model is loaded
  const name = argument ?? options.model ?? EMBEDDED_MODEL;
  const dir = await modelFolder(name, options.revision);
  const path = await tokenizerPath(dir, options.tokenizer);
  const tokenizer = await Tokenizer.fromFile(path);
  const modelName = options.servedModelName ?? (await shortName(name));
  const settings = { dir, tokenizerPath: path, backend, dtype, lora, threads, slots };
  const engine = await withProgressBar(
    'loading the model [{bar}] {percentage}% {eta_formatted} left',
    (onProgress) => WorkerEngine.start(settings, { onProgress, onNotice }),
  );
  const apiKey = (options.apiKey ?? process.env.RENE_API_KEY) || undefined; // '' is none
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
    onError: ({ stack }) => onNotice(`error: ${stack}`),
  });
  /** @param grace milliseconds for requests in progress */
  const close = async (grace: number) => {
    const timer = setTimeout(() => void engine.close(), grace);
    await server.close();
    clearTimeout(timer);
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
  greet(modelName, url, engine, options.maxLength, apiKey !== undefined);
}

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
