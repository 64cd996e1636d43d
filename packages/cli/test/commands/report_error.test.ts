// Errors of the operating system that no part of the program has named: one line, with the file and the reason.
import { expect } from 'chai';
import { reportError } from '../../src/commands/report_error.js';

/** What is printed about an error. */
function reported(error: unknown): string {
  const { write } = process.stderr;
  const { exitCode } = process;
  let printed = '';
  process.stderr.write = (text: string | Uint8Array) => {
    printed += text;
    return true;
  };
  try {
    reportError(error, { verb: 'train', verbose: false });
  } finally {
    process.stderr.write = write;
    process.exitCode = exitCode;
  }
  return printed;
}

function systemError(code: string, path?: string): Error {
  return Object.assign(new Error(`${code}: some words, write`), { code, syscall: 'write', path });
}

describe('reportError', () => {
  it('names the file and the reason of an error of the operating system', () => {
    expect(reported(systemError('ENOSPC', '/a/b'))).to.equal(
      'error: /a/b: no space left on the device (ENOSPC)\n',
    );
    expect(reported(systemError('EACCES'))).to.equal('error: permission denied (EACCES)\n');
  });

  it('calls an unknown error a bug', () => {
    expect(reported(new Error('x'))).to.equal(
      'error: x\n(this is a bug; --verbose prints the stack trace)\n',
    );
  });
});
