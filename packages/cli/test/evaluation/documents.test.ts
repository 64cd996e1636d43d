// Documents in the formats of the hub, the data sets' authors and datasets-server.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import { errorOf, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { readDocuments } from '../../src/evaluation/data/document_file.js';
import { folderDocs } from '../../src/evaluation/data/documents.js';
import { EvaluationError } from '../../src/evaluation/errors.js';
import { buildExamples, type Example } from '../../src/evaluation/requests.js';
import type { Doc, Task } from '../../src/evaluation/task.js';
import { selectTasks } from '../../src/evaluation/tasks/index.js';

/** Two documents of OpenBookQA. */
const PARQUET = new URL(
  '../../../test/evaluation/fixtures/questions.zstd.parquet',
  import.meta.url,
);

const folder = temporaryFolders();

function taskNamed(name: string): Task {
  const [task] = selectTasks([name]).tasks;
  if (!task) throw new Error(`no task ${name}`);
  return task;
}

/** Writes files into a folder and its subfolders. */
function written(files: Record<string, string | Buffer>, dir = folder()): string {
  for (const [name, content] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, name)), { recursive: true });
    writeFileSync(join(dir, name), content);
  }
  return dir;
}

/** The documents of a file of that name. */
async function examplesOf(task: string, name: string, content: string | Buffer) {
  const dir = written({ [name]: content });
  return buildExamples(taskNamed(task), await readDocuments(join(dir, name)));
}

const lines = (docs: readonly unknown[]) => docs.map((doc) => `${JSON.stringify(doc)}\n`).join('');
const golds = (examples: readonly Example[]) => examples.map(({ question }) => question.gold);

const COPA = { premise: 'The lamp fell.', choice1: 'It broke.', choice2: 'It sang.', idx: 3 };
const PIQA = { goal: 'To dry a cup', sol1: 'wipe it', sol2: 'boil it' };
const SWAG = {
  ind: 4,
  activity_label: 'Rowing',
  ctx_a: 'A boat turns.',
  ctx_b: 'it',
  endings: ['sinks.', 'flies.', 'sings.', 'reads.'],
};
const SCHEMA = { sentence: 'Tom fed Ann as _ was hungry.', option1: 'Tom', option2: 'Ann' };

describe('labels of documents', () => {
  const one = (task: string, doc: Doc) => buildExamples(taskNamed(task), [doc])[0];

  it('are read from any JSON type', () => {
    const label = [1, 1.0, '1', ' 1 ', '1.0', true, [1], ['1']];
    for (const value of label) {
      const shown = JSON.stringify(value);
      const copa = one('copa', { ...COPA, question: 'effect', label: value });
      expect(copa?.question.target, shown).to.equal(' it sang.');
      expect(copa?.doc.label, shown).to.equal(1);
      expect(one('piqa', { ...PIQA, label: value })?.question.gold, shown).to.equal(1);
      const swag = one('hellaswag', { ...SWAG, label: value });
      expect(swag?.question.gold, shown).to.equal(1);
      // As on the hub, so that hashes equal those of the harness.
      expect(swag?.doc.label, shown).to.equal('1');
      expect(one('winogrande', { ...SCHEMA, answer: value })?.question.gold, shown).to.equal(0);
    }
    for (const value of [0, '0', false, '0.', [0]]) {
      const copa = one('copa', { ...COPA, question: 'cause', label: value });
      expect(copa?.question.target).to.equal(' it broke.');
    }
    for (const answer of [2, '2', 'C', ' C', [2]]) {
      const doc = { question: 'q', choices: ['1', '2', '3', '4'], answer };
      expect(one('mmlu_anatomy', doc)?.question.gold).to.equal(2);
    }
  });

  it("that are missing or out of range are refused, with the document's name", () => {
    const cases: [string, Doc, string][] = [
      ['copa', { ...COPA, question: 'cause', label: -1 }, 'has no label'],
      ['copa', { ...COPA, question: 'cause', label: 2 }, 'one of 2 choices, found 2'],
      [
        'copa',
        { ...COPA, question: 'cause' },
        "field 'label': expected a whole number, found none",
      ],
      ['hellaswag', { ...SWAG, label: '' }, 'expected a whole number, found ""'],
      ['hellaswag', { ...SWAG, label: 4 }, 'one of 4 choices, found 4'],
      ['piqa', { ...PIQA, label: 0.5 }, 'expected a whole number, found 0.5'],
      ['piqa', { ...PIQA, label: null }, 'expected a whole number, found null'],
      ['winogrande', { ...SCHEMA, answer: '3' }, 'one of 2 choices'],
      [
        'arc_easy',
        { question: 'q', choices: { text: ['a', 'b'], label: ['A', 'B'] }, answerKey: '' },
        'expected one of A, B, found ""',
      ],
      ['mmlu_anatomy', { question: 'q', choices: ['1', '2'], answer: 1 }, 'expected 4, found 2'],
    ];
    for (const [task, doc, message] of cases) {
      expect(() => one(task, doc), message)
        .to.throw(EvaluationError)
        .with.property('message')
        .that.includes(`${task}, document 0`)
        .and.includes(message);
    }
  });
});

describe('documents of AI2', () => {
  const hub = {
    id: 'x1',
    question: 'Which is hot?',
    choices: { text: ['ice', 'fire', 'fog'], label: ['1', '2', '3'] },
    answerKey: '2',
  };
  const nested = hub.choices.text.map((text, i) => ({ text, label: i + 1 }));

  const forms: Record<string, [name: string, content: string]> = {
    'numbers as labels': [
      'a.jsonl',
      lines([{ ...hub, choices: { ...hub.choices, label: [1, 2, 3] }, answerKey: 2 }]),
    ],
    "the authors' JSONL": [
      'a.jsonl',
      lines([{ id: 'x1', question: { stem: hub.question, choices: nested }, answerKey: 2 }]),
    ],
    'a list of choices': ['a.json', JSON.stringify([{ ...hub, choices: nested }], null, 2)],
    "the authors' CSV": [
      'a.csv',
      'questionID,originalQuestionID,AnswerKey,question\nx1,7,2,"Which is hot? (1) ice (2) fire (3) fog"\n',
    ],
    'CSV of pandas': [
      'a.csv',
      ",id,question,choices,answerKey\n0,x1,Which is hot?,\"{'text': array(['ice', 'fire', 'fog'], dtype=object), " +
        "'label': array(['1', '2', '3'], dtype=object)}\",2\n",
    ],
    'CSV with JSON in a cell': [
      'a.csv',
      `id,question,choices,answerKey\r\nx1,Which is hot?,"${JSON.stringify(hub.choices).replaceAll('"', '""')}",2\r\n`,
    ],
    'TSV with a byte order mark': [
      'a.tsv',
      `\ufeffid\tquestion\tchoices\tanswerKey\nx1\tWhich is hot?\t"{'text': ['ice' 'fire'\n 'fog'], 'label': [1, 2, 3]}"\t2\n`,
    ],
    'flat columns': [
      'a.jsonl',
      lines([
        {
          id: 'x1',
          question: hub.question,
          'choices.text': hub.choices.text,
          'choices.label': hub.choices.label,
          answerKey: '2',
        },
      ]),
    ],
  };
  for (const [form, [name, content]] of Object.entries(forms)) {
    it(`ARC: ${form}`, async () => {
      const [example] = await examplesOf('arc_challenge', name, content);
      expect(example?.question.gold).to.equal(1);
      expect(example?.question.choices).to.deep.equal(hub.choices.text);
      expect(example?.requests[0]?.context).to.equal('Question: Which is hot?\nAnswer:');
      expect(example?.doc).to.deep.include(hub);
    });
  }

  it('OpenBookQA: the same as on the hub', async () => {
    const doc = {
      id: '7',
      question: { stem: 'Bees make', choices: nested.map((c, i) => ({ ...c, label: 'ABC'[i] })) },
      answerKey: ' B',
    };
    const [example] = await examplesOf('openbookqa', 'test.jsonl', lines([doc]));
    expect(example?.doc).to.deep.equal({
      id: '7',
      question_stem: 'Bees make',
      choices: { text: hub.choices.text, label: ['A', 'B', 'C'] },
      answerKey: ' B',
    });
    // In the hub's order, on which the document's hash depends.
    expect(Object.keys(example?.doc ?? {})).to.deep.equal([
      'id',
      'question_stem',
      'choices',
      'answerKey',
    ]);
    expect(example?.question.gold).to.equal(1);
  });

  it('a question that contains (A) is kept whole', async () => {
    const [example] = await examplesOf(
      'arc_easy',
      'x.csv',
      'questionID,AnswerKey,question\n1,C,"Look at (A). What is it? (A) a, b (B) c (C) d (D) e"\n',
    );
    expect(example?.doc.question).to.equal('Look at (A). What is it?');
    expect(example?.question.choices).to.deep.equal(['a, b', 'c', 'd', 'e']);
    expect(example?.question.gold).to.equal(2);
  });
});

describe('files of documents', () => {
  const docs = [
    { ...COPA, question: 'cause', label: 0 },
    { ...COPA, premise: 'Rain, "rain"!', question: 'effect', label: 1 },
  ];
  const table = (delimiter: string) =>
    [
      Object.keys(COPA).concat('question', 'label'),
      ...docs.map((doc) => Object.values(doc).map((v) => `"${String(v).replaceAll('"', '""')}"`)),
    ]
      .map((cells) => cells.join(delimiter))
      .join('\r\n');
  const rows = docs.map((row, i) => ({ row_idx: i, row, truncated_cells: [] }));
  const contents: Record<string, string | Buffer> = {
    'a.jsonl': lines(docs),
    'crlf.jsonl': lines(docs).replaceAll('\n', '\r\n'),
    'bom.jsonl': `\ufeff${lines(docs)}`,
    'list.json': JSON.stringify(docs, null, 1),
    'server.json': JSON.stringify({ features: [], rows, num_rows_total: 2 }),
    'server_spread.json': JSON.stringify({ features: [], rows, num_rows_total: 2 }, null, 2),
    'pages.jsonl': lines(rows.map((row) => ({ features: [], rows: [row] }))),
    'rows.jsonl': lines(rows),
    'samples.jsonl': lines(docs.map((doc, i) => ({ doc_id: i, doc, target: 'x' }))),
    'a.csv': table(','),
    'A.CSV': `${table(',')}\r\n\r\n`,
    'a.tsv': table('\t'),
    'a.jsonl.gz': gzipSync(lines(docs)),
    'a.csv.gz': gzipSync(table(',')),
  };
  for (const [name, content] of Object.entries(contents)) {
    it(`${name}: the same requests`, async () => {
      const examples = await examplesOf('copa', name, content);
      const expected = buildExamples(taskNamed('copa'), docs);
      expect(examples.map(({ requests }) => requests)).to.deep.equal(
        expected.map(({ requests }) => requests),
      );
      expect(golds(examples)).to.deep.equal([0, 1]);
    });
  }

  it('Parquet under any file name', async () => {
    const examples = await examplesOf('openbookqa', 'docs', readFileSync(fileURLToPath(PARQUET)));
    expect(examples.map(({ question }) => question.choices.length)).to.deep.equal([4, 4]);
  });

  it("labels from the authors' label files", async () => {
    const dir = written({
      'valid.jsonl': lines([PIQA, { ...PIQA, goal: 'To wet a cup' }]),
      'valid-labels.lst': '1\n0\n',
    });
    const found = await readDocuments(join(dir, 'valid.jsonl'));
    expect(golds(buildExamples(taskNamed('piqa'), found))).to.deep.equal([1, 0]);
    const { sentence, option1, option2 } = SCHEMA;
    written({ 'dev.jsonl': lines([{ sentence, option1, option2 }]), 'dev-labels.lst': '2' }, dir);
    const schemas = await readDocuments(join(dir, 'dev.jsonl'));
    expect(golds(buildExamples(taskNamed('winogrande'), schemas))).to.deep.equal([1]);
    written({ 'valid-labels.lst': '1\n' }, dir);
    const error = await errorOf(EvaluationError, () => readDocuments(join(dir, 'valid.jsonl')));
    expect(error.message).to.match(/valid-labels\.lst: expected 2 labels, .*found 1/);
  });

  it('lists in cells, as pandas and JSON write them', async () => {
    const { endings } = SWAG;
    const cells = [
      JSON.stringify(endings),
      "['sinks.', 'flies.', 'sings.', 'reads.']",
      "['sinks.' 'flies.'\n 'sings.' 'reads.']",
    ];
    for (const cell of cells) {
      const quoted = `"${cell.replaceAll('"', '""')}"`;
      const text = `activity_label,ctx_a,ctx_b,endings,label\nRowing,A boat turns.,,${quoted},2.0\n`;
      const [example] = await examplesOf('hellaswag', 'a.csv', text);
      expect(example?.question.choices).to.deep.equal(endings);
      expect(example?.question.gold).to.equal(2);
      expect(example?.requests[0]?.context).to.equal('Rowing: A boat turns.');
    }
  });

  it('are refused with the reason', async () => {
    const cases: Record<string, [string | Buffer, RegExp]> = {
      'cut.json': [
        JSON.stringify({ rows: [{ row_idx: 0, row: COPA, truncated_cells: ['premise'] }] }),
        /truncated the cells premise; use its \/rows/,
      ],
      'a.arrow': [Buffer.from('ARROW1\0\0'), /found an Arrow file/],
      'a.zip': [Buffer.from('PK\x03\x04'), /found a zip archive/],
      'latin1.csv': [Buffer.from('premise,label\ncaf\xe9,1\n', 'latin1'), /expected UTF-8/],
      'ragged.csv': ['a,b\n1,2\n1,2,3\n', /ragged\.csv, row 3: expected 2 cells, found 3/],
      'quote.csv': ['a,b\n1,"2\n', /not CSV/],
      'broken.json': ['{"rows": [\n', /broken\.json:1: not JSON/],
      'half.gz': [gzipSync('{"a": 1}').subarray(0, 12), /half\.gz: cannot be read/],
    };
    for (const [name, [content, message]] of Object.entries(cases)) {
      const dir = written({ [name]: content });
      const error = await errorOf(EvaluationError, () => readDocuments(join(dir, name)));
      expect(error.message).to.match(message);
    }
  });
});

describe('folders of documents', () => {
  const arc = (id: string) => ({
    id,
    question: 'q',
    choices: { text: ['a', 'b'], label: ['A', 'B'] },
    answerKey: 'B',
  });
  const csv = (...questions: string[]) => questions.map((q) => `${q},1,2,3,4,C\n`).join('');

  it("can be authors' archives or clones from the hub", async () => {
    const cases: [string, Record<string, string | Buffer>, string[], string[]][] = [
      [
        'arc_easy',
        {
          'ARC-Easy/ARC-Easy-Test.jsonl': lines([arc('t')]),
          'ARC-Easy/ARC-Easy-Train.jsonl': lines([arc('e')]),
          'ARC-Challenge/ARC-Challenge-Test.jsonl': lines([arc('other')]),
        },
        ['t'],
        ['e'],
      ],
      [
        'arc_challenge',
        {
          'ARC-Challenge/test-00000-of-00002.jsonl': lines([arc('1')]),
          'ARC-Challenge/test-00001-of-00002.jsonl': lines([arc('2')]),
          'ARC-Challenge/train.json': JSON.stringify([arc('e')]),
        },
        ['1', '2'],
        ['e'],
      ],
      [
        'mmlu_anatomy',
        {
          'test/anatomy_test.csv': csv('t1', 't2'),
          'dev/anatomy_dev.csv': csv('d'),
          'test/human_anatomy_test.csv': csv('other'),
        },
        ['t1', 't2'],
        ['d'],
      ],
      [
        'copa',
        { 'COPA/unused': '', 'copa/val.jsonl': lines([{ id: 'v' }]), 'copa/train.jsonl': '{}' },
        ['v'],
        ['undefined'],
      ],
      [
        'arc_challenge',
        {
          // The hub's branch of Parquet files.
          'ARC-Challenge/test/0000.parquet': readFileSync(fileURLToPath(PARQUET)),
          'ARC-Challenge/train/0000.parquet': readFileSync(fileURLToPath(PARQUET)),
          'ARC-Challenge/validation/0000.parquet': 'not read',
        },
        ['q1', 'q2'],
        ['q1', 'q2'],
      ],
      [
        'hellaswag',
        {
          'hellaswag_val.jsonl': lines([{ id: 'v' }]),
          'hellaswag_train.jsonl': lines([{ id: 'e' }]),
        },
        ['v'],
        ['e'],
      ],
    ];
    for (const [task, files, docs, examples] of cases) {
      const found = await folderDocs(written(files)).load(taskNamed(task), true);
      const names = (list: readonly Doc[]) =>
        list.map(({ id, question }) => String(id ?? question));
      expect(names(found.docs), task).to.deep.equal(docs);
      expect(names(found.fewshotDocs), task).to.deep.equal(examples);
    }
  });
});
