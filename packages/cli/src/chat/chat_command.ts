// Lines that the user types in `rene chat`: messages and commands.

export type ChatInput =
  | { type: 'message'; text: string }
  | { type: 'reset' | 'help' | 'exit' | 'nothing' }
  | { type: 'save' | 'load'; file: string }
  | { type: 'wrong'; why: string };

const SYNONYMS: Readonly<Record<string, string>> = { quit: 'exit', bye: 'exit', '?': 'help' };

/** A line as a message or a command. A line that begins with // is a message that begins with /. */
export function parseLine(line: string): ChatInput {
  const text = line.trim();
  if (text === '') return { type: 'nothing' };
  if (!text.startsWith('/')) return { type: 'message', text: line };
  if (text.startsWith('//')) return { type: 'message', text: text.slice(1) };
  const [, word = '', rest = ''] = /^\/(\S*)\s*(.*)$/s.exec(text) ?? [];
  const command = (Object.hasOwn(SYNONYMS, word) && SYNONYMS[word]) || word;
  switch (command) {
    case 'save':
    case 'load':
      if (rest === '') return { type: 'wrong', why: `/${command}: expected a file` };
      return { type: command, file: rest };
    case 'reset':
    case 'help':
    case 'exit':
      if (rest !== '')
        return { type: 'wrong', why: `/${command}: expected nothing, found ${rest}` };
      return { type: command };
    default:
      return {
        type: 'wrong',
        why: `/${word}: unknown command; /help lists them, //${word} sends it`,
      };
  }
}
