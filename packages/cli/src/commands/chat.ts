// `rene chat [model]`: a conversation in the terminal. Answers go to stdout, everything else to stderr.
import { type ChatOptions, ChatSession, readModelConfig } from '@rene-js/rene';
import { chatLoop } from '../chat/chat_loop.js';
import type { ChatCommandOptions } from './chat_options.js';
import { INTERRUPTED } from './interrupt.js';
import {
  checkVocabulary,
  chosenModel,
  loadModel,
  loadTokenizer,
  modelFolder,
  readChatTemplate,
} from './load.js';
import { asUsageError, UsageError } from './report_error.js';
import { samplingOf } from './sampling_options.js';

export async function runChat(
  argument: string | undefined,
  options: ChatCommandOptions,
): Promise<void> {
  const name = chosenModel(argument, options.model);
  const dir = await modelFolder(name, options.revision);
  const tokenizer = await loadTokenizer(dir, options.tokenizer);
  checkVocabulary(tokenizer, await readModelConfig(dir));
  const chatTemplate = await readChatTemplate(options.chatTemplate);
  if (chatTemplate === undefined && !tokenizer.hasChatTemplate) {
    throw new UsageError(
      `${name} has no chat template: give one with --chat-template FILE, or continue a text with rene generate`,
    );
  }
  const chatOptions: ChatOptions = {
    ...samplingOf(options),
    system: options.system,
    chatTemplate,
    maxNewTokens: options.maxNewTokens,
    repetitionPenalty: options.repetitionPenalty,
    stopStrings: options.stop,
  };
  const model = await loadModel(dir, options);
  try {
    const chat = new ChatSession(model, tokenizer, chatOptions);
    try {
      if (options.load !== undefined) await chat.load(options.load);
      const { stdin: input, stdout: output, stderr: notices } = process;
      const isTerminal = input.isTTY === true && output.isTTY === true;
      if (isTerminal) notices.write(`${name} on ${model.backend}. /help lists the commands.\n`);
      const { stats } = options;
      const result = await chatLoop(chat, { input, output, notices, isTerminal, stats });
      if (result !== true) process.exitCode = result === false ? 1 : INTERRUPTED;
    } finally {
      chat.dispose();
    }
  } catch (error) {
    throw asUsageError(error, Object.keys(chatOptions), { stopStrings: '--stop' });
  } finally {
    model.dispose();
  }
}
