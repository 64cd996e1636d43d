// Adapter for models of @huggingface/transformers (transformers.js), which the user installs.
import { EvaluationError } from '../errors.js';
import type { EvaluationModel, ScoreOptions } from '../evaluation_model.js';
import type { Loglikelihood } from '../metrics.js';
import { checkRequest, type TokenRequest, truncateRequest } from '../requests.js';

/** The part of the library that is used. It is not a dependency, so its types are not available. */
export interface TransformersLibrary {
  AutoTokenizer: { from_pretrained(id: string, options: object): Promise<TransformersTokenizer> };
  AutoModelForCausalLM: {
    from_pretrained(id: string, options: object): Promise<TransformersNetwork>;
  };
  Tensor: new (type: string, data: BigInt64Array, dims: number[]) => unknown;
}

export interface TransformersTokenizer {
  encode(text: string, options: { add_special_tokens: boolean }): number[];
  bos_token_id?: number | null;
  eos_token_id?: number | null;
}

export interface TransformersNetwork {
  (inputs: object): Promise<{ logits: { data: ArrayLike<number>; dims: number[] } }>;
  config?: Partial<Record<(typeof LENGTH_NAMES)[number], number>>;
  dispose?(): Promise<unknown>;
}

/** Names of the maximum length in configurations, in lm-eval's order; GPT-2's is the first. */
const LENGTH_NAMES = ['n_positions', 'max_position_embeddings', 'n_ctx'] as const;
const USUAL_MAX_LENGTH = 2048;

export interface TransformersOptions {
  /** Branch, tag or commit of a hub id. Default: main. */
  revision?: string | undefined;
  /** The library's dtype, such as 'q8' or 'fp32'. */
  dtype?: string | undefined;
  /** The library's device, such as 'cpu' or 'webgpu'. */
  device?: string | undefined;
  /** Maximum number of tokens. Default: the model's limit, else 2048. */
  maxLength?: number | undefined;
  /** Batch size. Default: 1. */
  batchSize?: number | undefined;
}

export class TransformersModel implements EvaluationModel {
  readonly maxLength: number;
  readonly prefixTokenId: number;

  constructor(
    private readonly library: Pick<TransformersLibrary, 'Tensor'>,
    private readonly tokenizer: TransformersTokenizer,
    private readonly network: TransformersNetwork,
    private readonly options: TransformersOptions = {},
  ) {
    const limits = LENGTH_NAMES.map((name) => network.config?.[name]);
    const limit = limits.find((value) => value !== undefined);
    this.maxLength = options.maxLength ?? limit ?? USUAL_MAX_LENGTH;
    this.prefixTokenId = tokenizer.bos_token_id ?? tokenizer.eos_token_id ?? 0;
  }

  /** @throws EvaluationError if the library is not installed */
  static async load(id: string, options: TransformersOptions): Promise<TransformersModel> {
    // A variable name, so that the compiler does not resolve the user's package.
    const name: string = '@huggingface/transformers';
    const library: TransformersLibrary = await import(name).catch((error: unknown) => {
      throw new EvaluationError(
        'transformers.js is not installed: npm install @huggingface/transformers',
        { cause: error },
      );
    });
    const { dtype, device, revision = 'main' } = options;
    const tokenizer = await library.AutoTokenizer.from_pretrained(id, { revision });
    const network = await library.AutoModelForCausalLM.from_pretrained(id, {
      dtype,
      device,
      revision,
    });
    return new TransformersModel(library, tokenizer, network, options);
  }

  tokenize(text: string): number[] {
    return this.tokenizer.encode(text, { add_special_tokens: false });
  }

  async loglikelihoods(
    requests: readonly TokenRequest[],
    { onResult, onProgress, signal }: ScoreOptions = {},
  ): Promise<Loglikelihood[]> {
    const results = new Map<number, Loglikelihood>();
    const texts = requests.map((request, index) => {
      checkRequest(request);
      return { index, ...truncateRequest(request, this.maxLength) };
    });
    texts.sort((a, b) => b.ids.length - a.ids.length);
    const { batchSize = 1 } = this.options;
    for (let i = 0; i < texts.length; i += batchSize) {
      signal?.throwIfAborted();
      const batch = texts.slice(i, i + batchSize);
      for (const [index, result] of await this.score(batch)) {
        results.set(index, result);
        onResult?.(index, result);
      }
      onProgress?.(results.size / texts.length);
    }
    return requests.map((_, i) => results.get(i) ?? { loglikelihood: Number.NaN, isGreedy: false });
  }

  async dispose(): Promise<void> {
    await this.network.dispose?.();
  }

  private async score(
    batch: readonly { index: number; ids: number[]; scored: number }[],
  ): Promise<[number, Loglikelihood][]> {
    // The last token is only predicted. Shorter texts are padded at their end and masked.
    const length = Math.max(...batch.map(({ ids }) => ids.length - 1));
    const dims = [batch.length, length];
    const at = (fill: (ids: number[], place: number) => number) =>
      BigInt64Array.from(
        batch.flatMap(({ ids }) => Array.from({ length }, (_, place) => BigInt(fill(ids, place)))),
      );
    const { Tensor } = this.library;
    const inputs = {
      input_ids: new Tensor(
        'int64',
        at((ids, p) => (p < ids.length - 1 ? (ids[p] ?? 0) : 0)),
        dims,
      ),
      attention_mask: new Tensor(
        'int64',
        at((ids, p) => (p < ids.length - 1 ? 1 : 0)),
        dims,
      ),
    };
    const { logits } = await this.network(inputs);
    const vocab = logits.dims[2] ?? 0;
    return batch.map(({ index, ids, scored }, row) => {
      let loglikelihood = 0;
      let isGreedy = true;
      for (let place = ids.length - 1 - scored; place < ids.length - 1; place++) {
        const start = (row * length + place) * vocab;
        const found = logProb(logits.data, start, vocab, ids[place + 1] ?? 0);
        loglikelihood += found.value;
        isGreedy &&= found.isGreedy;
      }
      return [index, { loglikelihood, isGreedy }];
    });
  }
}

function logProb(logits: ArrayLike<number>, start: number, vocab: number, id: number) {
  let max = Number.NEGATIVE_INFINITY;
  let best = 0;
  for (let i = 0; i < vocab; i++) {
    const logit = logits[start + i] ?? Number.NaN;
    if (logit <= max) continue;
    max = logit;
    best = i;
  }
  let sum = 0;
  for (let i = 0; i < vocab; i++) sum += Math.exp((logits[start + i] ?? 0) - max);
  const value = (logits[start + id] ?? Number.NaN) - max - Math.log(sum);
  return { value, isGreedy: best === id };
}
