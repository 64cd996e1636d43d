// The options of `rene serve`.
import { type Command, InvalidArgumentError, Option } from 'commander';
import {
  addBackendOptions,
  addModelOptions,
  addPrefixCacheBytes,
  addPrefixCacheDirOptions,
  type LoadOptions,
} from './model_options.js';
import { wholeNumber } from './numbers.js';

export interface ServeOptions extends Omit<LoadOptions, 'lora'> {
  lora: readonly string[];
  addModel: readonly string[];
  modelsBytes?: number;
  config?: string;
  host: string;
  port: number;
  apiKey: readonly string[];
  corsOrigin: readonly string[];
  /** The older name of corsOrigin. */
  cors: readonly string[];
  allowedHosts: readonly string[];
  servedModelName?: string;
  chatTemplate?: string;
  maxBatch?: number;
  maxWaiting: number;
  maxLength: number;
  bodyLimit: number;
  prefixCacheBytes?: number;
  prefixCacheDir?: string;
  prefixCacheDirBytes?: number;
  grace: number;
  log: boolean;
}

export function addServe(program: Command): Command {
  const command = program
    .command('serve')
    .description("serve a model over HTTP with OpenAI's completions and chat completions API")
    .argument('[model]', 'model folder or hub id (default: rene-tiny, which is included)');
  addModelOptions(command)
    .option('--host <address>', 'address to listen on; 0.0.0.0 = all addresses', '127.0.0.1')
    .option('-p, --port <n>', 'port to listen on; 0 = any free port', portNumber, 8000)
    .option(
      '--api-key <key>',
      'API key that clients must send; can be repeated (default: $RENE_API_KEY, else none)',
      (key: string, keys: readonly string[]) => [...keys, key],
      [],
    )
    .option(
      '--cors-origin <origins>',
      'origins of web pages to allow (CORS), comma-separated; can be repeated; * for any',
      (text: string, origins: readonly string[]) => [...origins, ...list(text)],
      [],
    )
    .addOption(new Option('--cors <origins>').argParser(list).default([]).hideHelp())
    .option(
      '--allowed-hosts <names>',
      'host names to accept besides localhost, comma-separated, when listening on a loopback ' +
        'address without a key; * for any',
      list,
      [],
    )
    .option(
      '--served-model-name <name>',
      "name of the model in requests (default: the model's name)",
    )
    .option(
      '--chat-template <file>',
      "Jinja file that renders conversations (default: the tokenizer's chat template)",
    )
    .option(
      '--max-length <n>',
      'maximum number of tokens per sequence, prompt included',
      positive,
      4096,
    )
    .option(
      '--max-batch <n>',
      'maximum number of sequences per batch (default: by memory)',
      positive,
    )
    .option(
      '--max-waiting <n>',
      'maximum number of waiting sequences; further requests get HTTP 429',
      nonNegative,
      256,
    )
    .option('--body-limit <bytes>', 'maximum size of a request body', positive, 4 * 1024 * 1024);
  addPrefixCacheDirOptions(addPrefixCacheBytes(command));
  command
    .option(
      '--grace <seconds>',
      'seconds to wait for requests in progress after Ctrl-C',
      nonNegative,
      30,
    )
    .option('--log', 'log each request as a line of JSON on stderr', false);
  addBackendOptions(command)
    .option(
      '--lora <adapter>',
      'PEFT LoRA adapter: DIR applies it to the model, NAME=DIR also serves the model with it under a name of ' +
        'its own, in memory shared but for the changed matrices; can be repeated',
      another,
      [],
    )
    .option(
      '--add-model <name=model>',
      'another model, loaded when a request names it; can be repeated',
      another,
      [],
    )
    .option(
      '--models-bytes <n>',
      'memory of the matrices that named adapters change, and of other models (default: 60 % of the free memory)',
      positive,
    )
    .option('--config <file>', 'JSON file of options, by their long names; the command line wins');
  command.addHelpText(
    'after',
    `
Routes: POST /v1/completions, POST /v1/chat/completions, GET /v1/models, GET /health, GET /ping, GET /version,
GET /props, GET /metrics, POST /tokenize, POST /detokenize, GET /tokenizer_info.
The first Ctrl-C waits for requests in progress; the second one ends the server at once.`,
  );
  return command;
}

function another(text: string, others: readonly string[]): readonly string[] {
  return [...others, text];
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
