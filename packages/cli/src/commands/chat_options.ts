// The options of `rene chat`.
import type { Command } from 'commander';
import {
  addBackendOptions,
  addLoraOption,
  addModelOptions,
  type LoadOptions,
} from './model_options.js';
import { wholeNumber } from './numbers.js';
import { addSamplingOptions, type SamplingFlags } from './sampling_options.js';

export interface ChatCommandOptions extends LoadOptions, SamplingFlags {
  system?: string;
  chatTemplate?: string;
  maxNewTokens?: number;
  load?: string;
  stats: boolean;
}

export const CHAT_COMMANDS = `/reset      forget the conversation, except for the system message
/save FILE  write the conversation and its state to a file
/load FILE  continue the conversation of a file
/help       list these commands
/exit       leave (also Ctrl-D)
//text      send a message that starts with a slash
Ctrl-C stops an answer.`;

export function addChat(program: Command): Command {
  const command = program
    .command('chat')
    .description('talk to a model that has a chat template')
    .argument('[model]', 'model folder or hub id (default: rene-tiny, which is included)');
  addModelOptions(command)
    .option('--system <text>', 'system message')
    .option(
      '--chat-template <file>',
      "Jinja file that renders the conversation (default: the tokenizer's chat template)",
    )
    .option('--load <file>', 'file of a conversation to continue, written by /save')
    .option(
      '-n, --max-new-tokens <n>',
      "maximum number of tokens per answer (default: the model's, else 1024)",
      wholeNumber,
    );
  addSamplingOptions(command).option('--stats', 'print the tokens of each turn on stderr', false);
  addLoraOption(addBackendOptions(command));
  return command.addHelpText(
    'after',
    `
Each line of stdin is a message. A turn computes only its own tokens, since the state of the conversation is kept.

${CHAT_COMMANDS}`,
  );
}
