// GET /metrics: the server's counters and times in the format of Prometheus.
import { packageVersion } from '@rene-js/rene/internal';
import type { FastifyInstance } from 'fastify';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Engine, EngineLoad, Job, JobEvent } from './job.js';

/** Seconds. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300];

/** The metrics of one server. */
export class Metrics {
  private readonly registry = new Registry();
  private readonly requests = this.counter('requests_total', 'Requests by route and status code', [
    'route',
    'status',
  ]);
  private readonly promptTokens = this.counter('prompt_tokens_total', 'Tokens of prompts');
  private readonly cachedTokens = this.counter(
    'cached_prompt_tokens_total',
    'Tokens of prompts that the prefix cache knew',
  );
  private readonly newTokens = this.counter('generated_tokens_total', 'Generated tokens');
  private readonly failures = this.counter('failed_prompts_total', 'Prompts that the model failed');
  private readonly duration = this.histogram('request_duration_seconds', 'Duration of requests', [
    'route',
  ]);
  private readonly firstToken = this.histogram(
    'time_to_first_token_seconds',
    'Time from the arrival of a prompt to its first new token',
  );
  private readonly perToken = this.histogram(
    'time_per_output_token_seconds',
    'Time between two tokens of a sequence',
  );

  /** Shows the load of all models. */
  watchLoad(load: () => EngineLoad): void {
    this.gauge('sequences_active', 'Sequences being decoded', () => load().active);
    this.gauge('sequences_waiting', 'Sequences that wait', () => load().waiting);
    this.gauge('slots', 'Sequences that can be decoded together', () => load().slots);
    this.gauge('prefix_cache_bytes', 'Size of the prefix caches in memory', () => {
      return load().cacheBytes ?? 0;
    });
  }

  /** Counts the prompts and tokens of an engine. */
  count(engine: Engine): Engine {
    return {
      submit: (job, onEvent) => {
        const note = this.watch(job);
        return engine.submit(job, (event) => {
          note(event);
          onEvent(event);
        });
      },
      load: () => engine.load(),
      get downReason() {
        return engine.downReason;
      },
    };
  }

  /** Counts the requests of a server, and adds the route. */
  addTo(app: FastifyInstance): void {
    this.addProcess();
    app.addHook('onResponse', async ({ routeOptions }, { statusCode, elapsedTime }) => {
      const route = routeOptions.url ?? 'unknown'; // not the URL: a client could make any number
      this.requests.inc({ route, status: statusCode });
      this.duration.observe({ route }, elapsedTime / 1000);
    });
    app.get('/metrics', async (_, reply) => {
      void reply.type(this.registry.contentType);
      return this.registry.metrics();
    });
  }

  private watch({ n }: Job): (event: JobEvent) => void {
    const begin = performance.now();
    const last = new Array<number | undefined>(n);
    return (event) => {
      if (event.type === 'prompt') {
        this.promptTokens.inc(event.tokens);
        if (event.cached) this.cachedTokens.inc(event.tokens);
      } else if (event.type === 'token') {
        const now = performance.now();
        const before = last[event.k];
        if (before === undefined) this.firstToken.observe((now - begin) / 1000);
        else this.perToken.observe((now - before) / 1000);
        last[event.k] = now;
        this.newTokens.inc();
      } else if (event.type === 'error') this.failures.inc();
    };
  }

  private addProcess(): void {
    const registers = [this.registry];
    new Gauge({
      name: 'process_resident_memory_bytes',
      help: 'Resident memory of the process',
      registers,
      collect() {
        this.set(process.memoryUsage.rss());
      },
    });
    new Counter({
      name: 'process_cpu_seconds_total',
      help: 'CPU seconds of the process',
      registers,
      collect() {
        const { user, system } = process.cpuUsage();
        this.reset();
        this.inc((user + system) / 1e6);
      },
    });
    new Gauge({
      name: `${PREFIX}info`,
      help: 'The version of the server',
      labelNames: ['version'],
      registers,
    }).set({ version: packageVersion() }, 1);
  }

  private counter<Label extends string>(name: string, help: string, labelNames: Label[] = []) {
    return new Counter({ name: PREFIX + name, help, labelNames, registers: [this.registry] });
  }

  private histogram<Label extends string>(name: string, help: string, labelNames: Label[] = []) {
    const registers = [this.registry];
    return new Histogram({ name: PREFIX + name, help, labelNames, buckets: BUCKETS, registers });
  }

  private gauge(name: string, help: string, value: () => number): void {
    new Gauge({
      name: PREFIX + name,
      help,
      registers: [this.registry],
      collect() {
        this.set(value());
      },
    });
  }
}

const PREFIX = 'rene_';
