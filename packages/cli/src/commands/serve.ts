// `rene serve [model]`: an HTTP server with OpenAI's completions and chat completions API.
import { once } from 'node:events';
import { createServer as createTcpServer } from 'node:net';
import type { EngineLoad } from '../serving/job.js';
import { createServer } from '../serving/server.js';
import { ServingError, type WorkerEngine } from '../serving/worker_engine.js';
import { INTERRUPTED } from './interrupt.js';
import { chosenModel, onNotice, servedName } from './load.js';
import { furtherModels, modelPool, splitName } from './model_pool.js';
import { UsageError } from './report_error.js';
import type { ServeOptions } from './serve_options.js';
import { startServingModel } from './serving_model.js';

export async function runServe(argument: string | undefined, options: ServeOptions): Promise<void> {
  const { host, port } = options;
  const name = chosenModel(argument, options.model);
  await checkAddress(host, port); // before a large model is loaded
  const { lora: adapters, ...others } = options;
  const plain = adapters.filter((text) => splitName(text).name === undefined);
  const [lora] = plain;
  if (plain.length > 1) throw new UsageError('--lora: expected one adapter without a name');
  const served = options.servedModelName ?? (await servedName(name));
  const further = await furtherModels({ model: name, name: served }, options);
  const model = await startServingModel(name, { ...others, ...(lora !== undefined && { lora }) });
  const pool = modelPool(further, model);
  const { engine, encoder } = model;
  const { RENE_API_KEY = '' } = process.env;
  const given = options.apiKey.length > 0 ? options.apiKey : [RENE_API_KEY];
  const apiKey = given.filter((key) => key !== '');
  const server = createServer({
    ...model,
    pool,
    maxLength: options.maxLength,
    maxWaiting: options.maxWaiting,
    bodyLimit: options.bodyLimit,
    log: options.log,
    apiKey,
    corsOrigins: [...options.corsOrigin, ...options.cors],
    allowedHosts: options.allowedHosts,
    onError: ({ stack }) => onNotice(`error: ${stack}`),
  });
  /** @param grace milliseconds to wait for requests in progress */
  const close = async (grace: number) => {
    const timers = [
      setTimeout(() => void engine.close(), grace),
      // Responses that are not read would keep their connections open.
      setTimeout(() => server.server.closeAllConnections(), grace + LAST_WORDS),
    ];
    await server.close();
    for (const timer of timers) clearTimeout(timer);
    await Promise.all([engine.close(), encoder.close(), pool?.close()]);
  };
  let url: string;
  try {
    url = await server.listen({ host, port });
  } catch (error) {
    await close(0);
    throw addressError(error, host, port);
  }
  const load = () => pool?.loadWith(engine.load()) ?? engine.load();
  closeWhenAsked(engine, load, close, options.grace);
  greet(model.modelName, url, engine, options.maxLength, apiKey.length > 0);
}

/** Milliseconds for clients to receive the end of their response. */
const LAST_WORDS = 1000;

/**
 * Called on the first signal, after which requests in progress may finish, and if the model's thread ends.
 */
function closeWhenAsked(
  engine: WorkerEngine,
  load: () => EngineLoad,
  close: (grace: number) => Promise<void>,
  graceSeconds: number,
): void {
  let isClosing = false;
  const onSignal = () => {
    if (isClosing) process.exit(INTERRUPTED);
    isClosing = true;
    const { active, waiting } = load();
    if (active + waiting > 0) {
      const patience = `at most ${graceSeconds} s; press Ctrl-C again to end them`;
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

/** Prints the address and an example request. */
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

/** @throws ServingError if the address cannot be used */
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
      return new ServingError(`port ${port} of ${host} is in use: choose another one with --port`);
    case 'EACCES':
      return new ServingError(`port ${port}: not permitted; choose one from 1024 with --port`);
    case 'EADDRNOTAVAIL':
    case 'ENOTFOUND':
      return new ServingError(
        `${host}: not an address of this machine: choose another one with --host`,
      );
    default:
      return error;
  }
}
