// The loop of `rene chat`: reads lines, answers messages, runs commands.
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { ChatSession, ChatTurn } from '@rene-js/rene';
import { ReneError } from '@rene-js/rene/internal';
import { CHAT_COMMANDS } from '../commands/chat_options.js';
import { parseLine } from './chat_command.js';

export interface ChatTerminal {
  input: Readable;
  output: Writable;
  /** Notices and errors. */
  notices: Writable;
  /** Print a prompt, and edit lines. */
  isTerminal: boolean;
  /** Print the tokens of each turn. */
  stats: boolean;
}

/**
 * Runs a conversation until the input ends or the user leaves.
 *
 * Ctrl-C stops an answer. Between answers it gives a hint in a terminal, and the second one leaves; elsewhere it
 * leaves.
 *
 * @returns whether every line succeeded, or 'interrupted'
 */
export async function chatLoop(
  chat: ChatSession,
  { input, output, notices, isTerminal, stats }: ChatTerminal,
): Promise<boolean | 'interrupted'> {
  const lines = createInterface({
    input,
    ...(isTerminal && { output, prompt: '> ' }),
    terminal: isTerminal,
    historySize: 1000,
    crlfDelay: Number.POSITIVE_INFINITY,
  });
  let answering: AbortController | undefined;
  let hinted = false;
  const outcome: { result: boolean | 'interrupted' } = { result: true };
  const tell = (text: string) => notices.write(`${text}\n`);
  const onInterrupt = () => {
    if (answering) return answering.abort();
    if (isTerminal && !hinted) {
      hinted = true;
      tell('\n(Ctrl-C again, Ctrl-D or /exit leaves)');
      return lines.prompt();
    }
    outcome.result = 'interrupted';
    return lines.close();
  };
  lines.on('SIGINT', onInterrupt);
  process.on('SIGINT', onInterrupt);
  const answer = async (text: string) => {
    answering = new AbortController();
    try {
      const turn = await write(chat.send(text, { signal: answering.signal }), output);
      if (turn.finishReason === 'aborted') tell('(stopped)');
      if (stats) tell(statsOf(turn));
    } finally {
      answering = undefined;
    }
  };
  /** @returns whether to go on */
  const run = async (line: string): Promise<boolean> => {
    const command = parseLine(line);
    switch (command.type) {
      case 'message':
        await answer(command.text);
        return true;
      case 'nothing':
        return true;
      case 'reset':
        chat.reset();
        return true;
      case 'save':
        await chat.save(command.file);
        tell(`saved to ${command.file}`);
        return true;
      case 'load':
        await chat.load(command.file);
        tell(`continuing ${chat.messages.length} messages`);
        return true;
      case 'help':
        tell(CHAT_COMMANDS);
        return true;
      case 'wrong':
        tell(command.why);
        outcome.result = false;
        return true;
      case 'exit':
        return false;
      default:
        return command satisfies never;
    }
  };
  try {
    if (isTerminal) lines.prompt();
    for await (const line of lines) {
      hinted = false;
      try {
        if (!(await run(line))) break;
      } catch (error) {
        if (!(error instanceof ReneError)) throw error;
        tell(`error: ${error.message}`);
        outcome.result = false;
      }
      if (outcome.result === 'interrupted') break;
      if (isTerminal) lines.prompt();
    }
  } finally {
    process.removeListener('SIGINT', onInterrupt);
    lines.close();
  }
  return outcome.result;
}

/** Writes an answer as it comes, and a final newline. */
async function write(
  pieces: AsyncGenerator<string, ChatTurn, void>,
  output: Writable,
): Promise<ChatTurn> {
  for (;;) {
    const next = await pieces.next();
    const text = next.done ? '\n' : next.value;
    if (!output.write(text)) await once(output, 'drain');
    if (next.done) return next.value;
  }
}

function statsOf({ promptTokens, knownTokens, newTokens }: ChatTurn): string {
  return `${promptTokens} prompt tokens computed, ${knownTokens} known, ${newTokens} new`;
}
