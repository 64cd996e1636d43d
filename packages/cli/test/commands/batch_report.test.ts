// What `rene batch` prints at its end, and its exit code.
import { expect } from 'chai';
import { report } from '../../src/commands/batch_report.js';

/** The exit code and what was printed on stdout. */
function reported(total: number, done: number, failed: number) {
  const { write } = process.stdout;
  let printed = '';
  process.stdout.write = (text: string | Uint8Array) => {
    printed += text;
    return true;
  };
  const stop = { signal: new AbortController().signal, exitCode: () => 130, release: () => {} };
  try {
    report('out.jsonl', total, { done, failed }, stop);
    return { printed, code: process.exitCode };
  } finally {
    process.stdout.write = write;
    process.exitCode = undefined;
  }
}

describe("the report of 'rene batch'", () => {
  it('counts results, and ends with code 1 if each of them is an error', () => {
    expect(reported(3, 3, 2)).to.deep.equal({
      printed: 'out.jsonl: 3 of 3 requests have a result, 2 of them an error\n',
      code: undefined,
    });
    expect(reported(3, 3, 3).code).to.equal(1);
    expect(reported(1, 1, 1).code).to.equal(1);
    expect(reported(0, 0, 0).code, 'an empty file').to.equal(undefined);
  });
});
