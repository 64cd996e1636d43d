// Tables of documents: separators, index columns, cells of JSON, and labels that are not there.
import { errorOf } from '@rene-js/testing';
import { expect } from 'chai';
import { parseCsv } from '../../src/evaluation/data/csv.js';
import { EvaluationError } from '../../src/evaluation/errors.js';
import { integerOf, labelledChoices, textsOf } from '../../src/evaluation/fields.js';
import { buildExamples } from '../../src/evaluation/requests.js';
import { selectTasks } from '../../src/evaluation/tasks/index.js';

describe('tables of documents', () => {
  it('are separated by commas, semicolons or tabs', () => {
    const doc = { goal: 'a', sol1: 'b', label: '1' };
    for (const separator of [',', ';', '\t']) {
      const text = ['goal,sol1,label', 'a,b,1'].join('\n').replaceAll(',', separator);
      expect(parseCsv(text, 'x.csv'), separator).to.deep.equal([doc]);
    }
    // Commas are text in a .tsv file, in its header too.
    const docs = [{ 'goal, sol': 'a, b', label: '0' }];
    expect(parseCsv('goal, sol\tlabel\na, b\t0\n', 'x.tsv')).to.deep.equal(docs);
    expect(parseCsv('goal, sol\tlabel\na, b\t0\n', 'x.tsv.gz')).to.deep.equal(docs);
  });

  it('may have the index column of pandas, with a name or without', () => {
    for (const name of ['', 'Unnamed: 0']) {
      expect(parseCsv(`${name},goal\n7,a\n`, 'x.csv')).to.deep.equal([{ goal: 'a' }]);
    }
  });

  it("are MMLU's with a header and without", () => {
    const bare = 'What is 2 + 2?,3,4,5,22,B\n"A, or\nB?",a,b,c,d,D\n';
    const { tasks } = selectTasks(['mmlu_anatomy']);
    for (const header of ['', 'question,A,B,C,D,answer\n', 'input,A,B,C,D,target\n']) {
      const docs = parseCsv(header + bare, 'x.csv');
      const examples = tasks.flatMap((task) => buildExamples(task, docs));
      expect(examples.map(({ question }) => question.gold)).to.deep.equal([1, 3]);
      expect(examples[1]?.doc).to.deep.equal({
        question: 'A, or\nB?',
        subject: 'anatomy',
        choices: ['a', 'b', 'c', 'd'],
        answer: 3,
      });
    }
  });

  it('may hold JSON, whose escapes are not those of Python', () => {
    const choices = '["a\\/b", "\\ud83d\\ude00"]';
    expect(textsOf({ choices }, 'choices')).to.deep.equal(['a/b', '😀']);
    expect(textsOf({ choices: "['a\\/b', '\\x41']" }, 'choices')).to.deep.equal(['a\\/b', 'A']);
    const labelled = labelledChoices({ choices: '{"text": ["x"], "label": ["A"]}' });
    expect(labelled).to.deep.equal({ text: ['x'], label: ['A'] });
  });

  it('say that a document has no label', async () => {
    const [doc = {}] = parseCsv('goal,label\na,\n', 'x.csv');
    const error = await errorOf(EvaluationError, () => integerOf(doc, 'label'));
    expect(error.message).to.match(/expected a whole number, found "": the document has no label/);
    const other = await errorOf(EvaluationError, () => integerOf({ label: 'x' }, 'label'));
    expect(other.message).not.to.match(/no label/);
  });
});
