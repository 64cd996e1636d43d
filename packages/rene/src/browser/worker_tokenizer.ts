// The tokenizer of a model in a worker.
import type { ChatMessage, ChatTemplateOptions } from '../chat/chat_template.js';
import type { DecodeOptions, EncodeOptions } from '../tokenizer.js';
import type { WorkerClient } from './worker_client.js';

/** A Tokenizer whose work is done in the worker, so that a long text does not stop the page. */
export class WorkerTokenizer {
  /** @internal */
  constructor(
    private readonly client: WorkerClient,
    /** Upper bound of the ids that have a token. */
    readonly vocabSize: number,
    /** The end-of-text token; null if the tokenizer names none. */
    readonly eosTokenId: number | null,
  ) {}

  /** As Tokenizer.encode. @throws TokenizerError, InvalidArgumentError */
  encode(text: string, options?: EncodeOptions): Promise<number[]> {
    return this.client.call({ method: 'encode', text, options });
  }

  /** As Tokenizer.decode. @throws InvalidArgumentError */
  decode(ids: readonly number[], { skipSpecialTokens }: DecodeOptions = {}): Promise<string> {
    return this.client.call({ method: 'decode', ids, skipSpecialTokens });
  }

  /** As Tokenizer.applyChatTemplate. @throws TokenizerError */
  applyChatTemplate(
    messages: readonly ChatMessage[],
    options?: ChatTemplateOptions,
  ): Promise<string> {
    return this.client.call({ method: 'applyChatTemplate', messages, options });
  }
}
