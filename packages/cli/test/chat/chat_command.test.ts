import { expect } from 'chai';
import { parseLine } from '../../src/chat/chat_command.js';

describe('lines of rene chat', () => {
  it('are messages, unless they begin with /', () => {
    expect(parseLine(' What is 1/2? ')).to.deep.equal({ type: 'message', text: ' What is 1/2? ' });
    expect(parseLine('//etc is a folder')).to.deep.equal({
      type: 'message',
      text: '/etc is a folder',
    });
    for (const line of ['', '  ', '\t']) expect(parseLine(line)).to.deep.equal({ type: 'nothing' });
  });

  it('are commands with a file or nothing', () => {
    expect(parseLine('/save my chat.st ')).to.deep.equal({ type: 'save', file: 'my chat.st' });
    expect(parseLine('/load a')).to.deep.equal({ type: 'load', file: 'a' });
    for (const [line, type] of [
      ['/reset', 'reset'],
      ['/exit', 'exit'],
      ['/quit', 'exit'],
      ['/bye', 'exit'],
      [' /?', 'help'],
    ] as const) {
      expect(parseLine(line)).to.deep.equal({ type });
    }
  });

  it('say what is wrong', () => {
    for (const line of ['/save', '/load  ', '/reset now', '/sav x', '/', '/constructor']) {
      expect(parseLine(line), line).to.include({ type: 'wrong' });
    }
  });
});
