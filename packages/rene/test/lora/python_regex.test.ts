// Python's regular expressions in JavaScript. The expected values are those of Python's re module.
import { expect } from 'chai';
import { peftPatternMatch, pythonFullMatch } from '../../src/lora/python_regex.js';

describe('pythonFullMatch', () => {
  const cases: [source: string, text: string, matches: boolean][] = [
    ['in_proj', 'x.in_proj', false],
    ['.*in_proj', 'x.in_proj', true],
    ['a|bc', 'abc', false],
    ['(?P<n>ab)(?P=n)', 'abab', true],
    ['\\Aab\\Z', 'ab', true],
    ['(?i)AB', 'ab', true],
    ['a(?#why)b', 'ab', true],
    ['a{,2}', 'aa', true],
    ['a{,2}', 'aaa', false],
    ['a{1,2}', 'a', true],
    ['[]a]+', ']a]', true],
    ['[^]a]', 'b', true],
    ['[^]a]', ']', false],
    ['[(?P<n>]+', '(?P<n>', true],
    ['\\(?P', '(P', true],
    ['a\\.b', 'axb', false],
    ['(a)|b', 'b', true],
    ['layers\\.(?:0|1[0-9])\\..*', 'layers.12.x', true],
  ];
  for (const [source, text, matches] of cases) {
    it(`${source} and ${text}: ${matches}`, () => {
      expect(pythonFullMatch(source).test(text)).to.equal(matches);
    });
  }

  it('refuses syntax that JavaScript lacks', () => {
    for (const source of ['a++', '(?>a)', '(', '[', '(?x) a', 'a**']) {
      expect(() => pythonFullMatch(source), source).to.throw(SyntaxError);
    }
  });
});

describe('peftPatternMatch', () => {
  it('matches name endings after a dot, with groups numbered as in Python', () => {
    expect(peftPatternMatch('in_proj').test('a.in_proj')).to.equal(true);
    expect(peftPatternMatch('in_proj').test('in_proj')).to.equal(true);
    expect(peftPatternMatch('proj').test('a.in_proj')).to.equal(false);
    expect(peftPatternMatch('a|b').test('x.a')).to.equal(true);
    expect(peftPatternMatch('^a').test('x.a')).to.equal(false);
    expect(peftPatternMatch('(a)\\3').test('x.aa')).to.equal(true);
  });
});
