// Python literals, as pandas and datasets write them into cells.
import { expect } from 'chai';
import fc from 'fast-check';
import { parsePythonLiteral } from '../../src/evaluation/data/python_literal.js';

describe('parsePythonLiteral', () => {
  it('reads what repr() writes, of any text', () => {
    const { tree } = fc.letrec((tie) => ({
      tree: fc.oneof(
        { maxDepth: 3 },
        fc.string({ unit: 'binary' }),
        fc.integer(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('tree'), { maxLength: 3 }),
        fc.dictionary(fc.string(), tie('tree'), { maxKeys: 3 }),
      ),
    }));
    fc.assert(
      fc.property(tree, fc.boolean(), (value, isNumPy) => {
        expect(parsePythonLiteral(repr(value, isNumPy))).to.deep.equal(value);
      }),
    );
  });

  it('reads the escapes and numbers of Python, and refuses what is none', () => {
    expect(
      parsePythonLiteral(String.raw`('\x41\u00e9\U0001F40D\q\'', "it's", -1.5e3,)`),
    ).to.deep.equal(["Aé🐍\\q'", "it's", -1500]);
    for (const wrong of [
      '',
      '[1',
      "{'a' 1}",
      '{1: 2}',
      'constructor',
      "'a",
      '[1] 2',
      '['.repeat(99),
    ]) {
      expect(() => parsePythonLiteral(wrong), wrong).to.throw(SyntaxError);
    }
  });
});

/** Python's repr(), lists without commas where NumPy wrote them. */
function repr(value: unknown, isNumPy: boolean): string {
  if (value === null) return 'None';
  if (typeof value === 'boolean') return value ? 'True' : 'False';
  if (typeof value === 'string') {
    const quote = value.includes("'") && !value.includes('"') ? '"' : "'";
    const escaped = value
      .replaceAll('\\', '\\\\')
      .replaceAll(quote, `\\${quote}`)
      .replaceAll('\n', '\\n')
      .replaceAll('\r', '\\r');
    return quote + escaped + quote;
  }
  if (Array.isArray(value)) {
    const items = value.map((item) => repr(item, isNumPy));
    return `[${items.join(isNumPy ? '\n ' : ', ')}]`;
  }
  if (typeof value !== 'object') return String(value);
  const entries = Object.entries(value).map(
    ([key, item]) => `${repr(key, isNumPy)}: ${repr(item, isNumPy)}`,
  );
  return `{${entries.join(', ')}}`;
}
