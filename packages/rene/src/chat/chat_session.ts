// ChatSession: a conversation that keeps the model's state between turns, so that a turn computes only its own
// tokens.
import { InvalidArgumentError } from '@rene-js/layers';
import { nextTurn } from '@rene-js/layers/internal';
import { describe } from '../describe.js';
import { Batch } from '../generation/batch.js';
import { prefillParts } from '../generation/prefill.js';
import { checkPrompts } from '../generation/prompt_ids.js';
import { Sampler } from '../generation/sampler.js';
import { type FinishReason, Sequence } from '../generation/sequence.js';
import type { CausalLM } from '../model.js';
import { RecurrentState } from '../state.js';
import type { Tokenizer } from '../tokenizer.js';
import { Answer } from './answer.js';
import { readChatFile, writeChatFile } from './chat_file.js';
import { type ChatOptions, turnConfig } from './chat_options.js';
import type { ChatMessage } from './chat_template.js';
import { type Checkpoint, idsAfter, longestPrefix } from './checkpoint.js';

/** What a turn computed. */
export interface ChatTurn {
  /** The answer. */
  readonly text: string;
  /** Prompt tokens that were computed. */
  readonly promptTokens: number;
  /** Prompt tokens whose state was known. */
  readonly knownTokens: number;
  readonly newTokens: number;
  /** 'aborted': by the signal. The answer so far is part of the conversation. */
  readonly finishReason: FinishReason | 'aborted';
}

/** Options of a turn. */
export interface TurnOptions {
  /** Ends the answer between tokens, or the turn between chunks of its prompt. */
  signal?: AbortSignal | undefined;
}

/** A prompt whose state is known. */
interface ReadPrompt extends Checkpoint {
  readonly knownTokens: number;
  /** After its last token. */
  readonly logits: Float32Array;
}

/** A conversation with a model. Free its state with dispose(), before the model. */
export class ChatSession {
  private conversation: readonly ChatMessage[] = [];
  private checkpoints: readonly Checkpoint[] = [];
  private readonly batch: Batch<Sequence>;
  private turns = 0;
  private isBusy = false;

  /**
   * @param tokenizer has a chat template, unless `options` have one
   * @throws InvalidArgumentError for unknown or invalid options
   */
  constructor(
    private readonly model: CausalLM,
    private readonly tokenizer: Tokenizer,
    private readonly options: ChatOptions = {},
  ) {
    if (typeof tokenizer?.applyChatTemplate !== 'function') {
      throw new InvalidArgumentError('tokenizer', 'a Tokenizer', describe(tokenizer));
    }
    turnConfig(model, tokenizer, options, 0); // checks the options
    this.batch = new Batch(model, 1);
    this.reset();
  }

  /** The messages so far, the system message included. */
  get messages(): readonly ChatMessage[] {
    return this.conversation;
  }

  /**
   * Sends a message of the user and yields the answer in pieces of text. To leave the loop early keeps the answer
   * so far, as the signal does.
   *
   * @returns what the turn computed
   * @throws TokenizerError if the template refuses the conversation, GenerationError, InvalidArgumentError. The
   *   conversation is then unchanged.
   */
  async *send(
    content: string,
    { signal }: TurnOptions = {},
  ): AsyncGenerator<string, ChatTurn, void> {
    if (typeof content !== 'string') {
      throw new InvalidArgumentError('content', 'a text', describe(content));
    }
    this.checkIdle();
    this.isBusy = true;
    const { checkpoints, turns } = this;
    try {
      const messages = [...this.conversation, { role: 'user', content }];
      const prompt = await this.read(messages, signal);
      return prompt ? yield* this.answer(messages, prompt, signal) : NO_ANSWER;
    } finally {
      if (this.turns === turns) this.keep(checkpoints); // no answer: the conversation is as before
      this.batch.keep(() => false);
      this.isBusy = false;
    }
  }

  /** Forgets the conversation, except for the system message. */
  reset(): void {
    this.checkIdle();
    const { system } = this.options;
    this.conversation = system === undefined ? [] : [{ role: 'system', content: system }];
    this.keep([]);
    this.turns = 0;
  }

  /**
   * Writes the conversation and its state to a file, which is also a state file.
   *
   * @param path a path or a file URL. An existing file is replaced once the new one is complete.
   * @throws FileError if it cannot be written
   */
  async save(path: string | URL): Promise<void> {
    this.checkIdle();
    const start = { text: '', ids: [], pending: [], state: this.model.initialState(1) };
    try {
      const last = this.checkpoints.at(-1) ?? start;
      await writeChatFile(path, this.conversation, last, await this.model.fingerprint());
    } finally {
      start.state.dispose();
    }
  }

  /**
   * Continues a conversation that save() wrote.
   *
   * @throws CheckpointError if it is no such file, GenerationError if it is another model's. The conversation is
   *   then unchanged.
   */
  async load(path: string | URL): Promise<void> {
    this.checkIdle();
    const { messages, stored, text, ids, pending } = await readChatFile(path, this.model);
    const state = new RecurrentState(stored.layers, stored.positions, this.model);
    this.conversation = messages;
    this.keep([{ text, ids, pending, state }]);
    this.turns = messages.filter(({ role }) => role === 'assistant').length;
  }

  /** Frees the state. */
  dispose(): void {
    this.keep([]);
    this.batch.dispose();
  }

  /** Reads what of the prompt is new. @returns undefined if the signal ended it */
  private async read(
    messages: readonly ChatMessage[],
    signal: AbortSignal | undefined,
  ): Promise<ReadPrompt | undefined> {
    const { model, tokenizer } = this;
    const text = this.render(messages, true);
    const from = longestPrefix(this.checkpoints, text);
    const knownTokens = from?.ids.length ?? 0;
    const ids = idsAfter(from, text, tokenizer);
    checkPrompts([ids], model.config.vocabSize);
    const state = from?.state.clone() ?? model.initialState(1);
    try {
      // The next prompt may write the beginning of the answer otherwise than the generation prompt does.
      const history = this.history(messages, text, ids, from);
      let logits: Float32Array | undefined;
      let done = knownTokens;
      for (const end of [history?.ids.length ?? done, ids.length]) {
        for await (const part of prefillParts(model, state, ids.slice(done, end))) {
          logits = part.logits.at(-1);
          await nextTurn();
          if (!signal?.aborted) continue;
          state.dispose();
          return undefined;
        }
        done = end;
        if (history && end < ids.length)
          this.keep([...this.checkpoints, { ...history, state: state.clone() }]);
      }
      return { text, ids, pending: [], state, knownTokens, logits: logits ?? new Float32Array(0) };
    } catch (error) {
      state.dispose();
      throw error;
    }
  }

  /** The part of a prompt before what starts the answer, if it begins with it. */
  private history(
    messages: readonly ChatMessage[],
    prompt: string,
    promptIds: readonly number[],
    from: Checkpoint | undefined,
  ): Omit<Checkpoint, 'state'> | undefined {
    const text = this.render(messages, false);
    const isPart = text.length < prompt.length && prompt.startsWith(text);
    if (!isPart || text.length <= (from?.text.length ?? 0)) return undefined;
    const ids = idsAfter(from, text, this.tokenizer);
    const fits = ids.length < promptIds.length && ids.every((id, i) => promptIds[i] === id);
    return fits ? { text, ids, pending: [] } : undefined;
  }

  private async *answer(
    messages: readonly ChatMessage[],
    prompt: ReadPrompt,
    signal: AbortSignal | undefined,
  ): AsyncGenerator<string, ChatTurn, void> {
    const { model, tokenizer, batch } = this;
    const { ids, state, knownTokens } = prompt;
    let sequence: Sequence | undefined;
    let answer: Answer | undefined;
    let isSound = false;
    try {
      const config = turnConfig(model, tokenizer, this.options, this.turns);
      answer = new Answer(tokenizer, ids, config.stopStrings);
      sequence = new Sequence(ids, 0, config, new Sampler(config));
      batch.join(state, [sequence]);
      let next: number | Float32Array = prompt.logits;
      for (;;) {
        const id = sequence.extend(next);
        isSound = true;
        const piece = answer.push(id, sequence.finishReason);
        if (piece !== '') yield piece;
        await nextTurn();
        if (sequence.finishReason !== undefined || signal?.aborted) break;
        isSound = false;
        next = (await batch.next())[0] ?? -1;
      }
      const rest = sequence.finishReason === undefined ? answer.end() : '';
      if (rest !== '') yield rest;
      return {
        text: answer.text,
        promptTokens: ids.length - knownTokens,
        knownTokens,
        newTokens: sequence.ids.length - ids.length,
        finishReason: sequence.finishReason ?? 'aborted',
      };
    } finally {
      state.dispose();
      if (isSound && sequence && answer) this.finish(messages, prompt, sequence, answer);
    }
  }

  /** Adds the answer to the conversation, and keeps the state after it. */
  private finish(
    messages: readonly ChatMessage[],
    prompt: ReadPrompt,
    sequence: Sequence,
    answer: Answer,
  ): void {
    // Where the loop was left early, its last characters may be incomplete.
    if (sequence.finishReason === undefined) answer.end();
    const state = this.batch.stateOf(sequence);
    const ids = sequence.ids.slice(0, -1);
    const pending = sequence.finishReason === 'eos' ? [] : sequence.ids.slice(-1);
    const text = prompt.text + answer.raw;
    this.conversation = [...messages, { role: 'assistant', content: answer.text }];
    this.keep([...this.checkpoints.slice(-1), { text, ids, pending, state }]);
    this.turns++;
  }

  private render(messages: readonly ChatMessage[], addGenerationPrompt: boolean): string {
    const { tools, documents, chatTemplate, variables } = this.options;
    const options = { tools, documents, chatTemplate, variables, addGenerationPrompt };
    return this.tokenizer.applyChatTemplate(messages, options);
  }

  /** Keeps these checkpoints and frees the others. */
  private keep(checkpoints: readonly Checkpoint[]): void {
    for (const each of this.checkpoints) if (!checkpoints.includes(each)) each.state.dispose();
    this.checkpoints = checkpoints;
  }

  private checkIdle(): void {
    if (!this.isBusy) return;
    throw new InvalidArgumentError('chat', 'one turn at a time', 'one in progress');
  }
}

/** A turn that ended before its answer: it changes nothing. */
const NO_ANSWER: ChatTurn = {
  text: '',
  promptTokens: 0,
  knownTokens: 0,
  newTokens: 0,
  finishReason: 'aborted',
};
