import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { TrainingError } from '@rene-js/rene/training';
import { expect } from 'chai';
import fc from 'fast-check';
import { type ReadDocumentsOptions, readDocuments } from '../../src/training/read_documents.js';

const stories = fileURLToPath(
  new URL('../../../test/training/fixtures/stories.parquet', import.meta.url),
);

describe('readDocuments', () => {
  let dir = '';
  before(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rene-documents-'));
  });
  after(() => rm(dir, { recursive: true }));

  async function read(
    name: string,
    content: string | Uint8Array,
    options?: ReadDocumentsOptions,
  ): Promise<string[]> {
    const path = join(dir, name);
    await writeFile(path, content);
    return readDocuments(path, options);
  }

  async function refusal(...args: Parameters<typeof read>): Promise<string> {
    try {
      await read(...args);
    } catch (error) {
      if (error instanceof TrainingError) return error.message.replace(`${dir}/`, '');
      throw error;
    }
    throw new Error('it was not refused');
  }

  describe('of text', () => {
    const text = 'Ein Haus, außen grün.\n\nEin Baum 🌳 davor,\tund 猫.\n\u{10ffff} Ende';
    const documents = text.split('\n').filter((line) => line !== '');
    const utf32 = (little: boolean) => {
      const codes = Array.from(`\ufeff${text}`, (char) => char.codePointAt(0) ?? 0);
      const bytes = Buffer.alloc(4 * codes.length);
      codes.forEach((code, i) => {
        if (little) bytes.writeUInt32LE(code, 4 * i);
        else bytes.writeUInt32BE(code, 4 * i);
      });
      return bytes;
    };
    const utf16 = Buffer.from(`\ufeff${text}`, 'utf16le');
    const encoded: [string, string | Uint8Array][] = [
      ['UTF-8', text],
      ['UTF-8 with a byte order mark', `\ufeff${text}`],
      ['lines that end with CR LF', text.replaceAll('\n', '\r\n')],
      ['lines that end with CR', text.replaceAll('\n', '\r')],
      ['UTF-16LE with a byte order mark', utf16],
      ['UTF-16BE with a byte order mark', Buffer.from(utf16).swap16()],
      ['UTF-32LE with a byte order mark', utf32(true)],
      ['UTF-32BE with a byte order mark', utf32(false)],
    ];
    for (const [name, content] of encoded) {
      it(`reads ${name}`, async () => {
        expect(await read('house.txt', content)).to.deep.equal(documents);
      });
    }

    it('keeps a zero-width space within the text, and other control characters', async () => {
      expect(await read('a.txt', 'a\ufeffb\u0085c\fd\x1b[0m\u2028e\n')).to.deep.equal([
        'a\ufeffb\u0085c\fd\x1b[0m\u2028e',
      ]);
    });

    it('reads any lines unchanged, also across reads of a file', async () => {
      const line = fc
        .string({ unit: 'grapheme', minLength: 1 })
        .map((s) => s.replace(/[\r\n\0{]|^\ufeff/g, '_'));
      await fc.assert(
        fc.asyncProperty(
          fc.array(line, { minLength: 1, maxLength: 5 }),
          fc.integer({ min: 0, max: 9 }),
          fc.constantFrom<BufferEncoding>('utf8', 'utf16le'),
          async (lines, shift, encoding) => {
            // A read ends within the second line.
            const all = ['x'.repeat(30_000 + shift), 'é猫🌳'.repeat(9_000), ...lines];
            const content = Buffer.from(`\ufeff${all.join('\n')}`, encoding);
            expect(await read('p.txt', content)).to.deep.equal(all);
          },
        ),
        { numRuns: 15 },
      );
    });
  });

  describe('refuses by name', () => {
    const latin = Buffer.from('Ein Haus.\nAußen grün.\n', 'latin1');
    const cases: [string, Uint8Array, RegExp][] = [
      ['Latin-1', latin, /^f: line 2 is not UTF-8 \(byte 0xDF\)\..*Latin-1.*iconv -f WINDOWS-1252/],
      [
        'UTF-8 that was cut',
        Buffer.from('Der Schluß: größ').subarray(0, -1),
        /^f: line 1 is not UTF-8 \(byte 0xC3\)/,
      ],
      [
        'surrogates in UTF-8, after a replacement character of its own',
        Buffer.from('\ufffd\n\ufffd\xa0', 'latin1'),
        /line 1 is not UTF-8/,
      ],
      [
        'Shift JIS',
        Buffer.from([0x83, 0x65, 0x83, 0x58, 0x0a]),
        /line 1 is not UTF-8 \(byte 0x83\)/,
      ],
      [
        'UTF-16LE without a mark',
        Buffer.from('Ein Haus', 'utf16le'),
        /UTF-16LE without a byte order mark/,
      ],
      [
        'UTF-16BE without a mark',
        Buffer.from('Ein Haus, außen grün', 'utf16le').swap16(),
        /UTF-16BE without a byte order mark; convert it: iconv -f UTF-16BE/,
      ],
      [
        'half a UTF-16 character',
        Buffer.from('\ufeffa', 'utf16le').subarray(0, 3),
        /mark says UTF-16/,
      ],
      ['a lone surrogate', Buffer.from('\ufeffa\ud83cb', 'utf16le'), /mark says UTF-16, but/],
      ['a code beyond UTF-32', Buffer.from([0xff, 0xfe, 0, 0, 0, 0, 0x11, 0]), /mark says UTF-32/],
      ['ISO-2022-JP', Buffer.from('\x1b$B%F%9%H\x1b(B\n'), /ISO-2022-JP; convert it/],
      ['NUL bytes', new Uint8Array(2000), /a binary file \(it holds NUL bytes\)/],
      [
        'a NUL far within a text',
        Buffer.from(`${'a line\n'.repeat(20_000)}x\0y`),
        /line 20001 contains a NUL byte: expected a text file/,
      ],
      ['control characters', new Uint8Array(500).map((_, i) => 1 + (i % 5)), /control characters/],
      ['gzip', Buffer.from('1f8b0800000000000003', 'hex'), /a gzip file; unpack it first/],
      ['zip', Buffer.from('504b030414000600', 'hex'), /a zip file .*docx/],
      ['PDF', Buffer.from('%PDF-1.4\n%âãÏÓ\n1 0 obj'), /a PDF file; extract its text first/],
      ['PNG', Buffer.from('89504e470d0a1a0a', 'hex'), /a PNG image/],
      ['an Arrow file', Buffer.from('ARROW1\0\0'), /an Arrow file; export it as JSON lines/],
    ];
    for (const [name, bytes, message] of cases) {
      it(name, async () => {
        expect(await refusal('f', bytes)).to.match(message);
      });
    }

    it('random bytes', async () => {
      await fc.assert(
        fc.asyncProperty(fc.uint8Array({ minLength: 200, maxLength: 400 }), async (bytes) => {
          expect(await refusal('f', bytes)).to.match(/UTF-8|NUL|byte order mark/);
        }),
        { numRuns: 40 },
      );
    });

    it('unreadable files, and files without text', async () => {
      const message = async (path: string) =>
        readDocuments(path).then(
          () => '',
          (error: Error) => error.message,
        );
      expect(await message(join(dir, 'none'))).to.match(/none: .* cannot be read: no such file/);
      expect(await message(dir)).to.match(/cannot be read: it is a folder, expected a file/);
      for (const empty of ['', '\n\r\n\n', '\ufeff']) {
        expect(await refusal('f', empty)).to.equal(
          'f: expected at least one document, found no text',
        );
      }
    });
  });

  describe('of JSON', () => {
    const lines =
      '{"text": "One \\"line\\".\\nAnother.", "id": 1}\n\n {"id": 2, "text": "Grün \\u732b"}\r\n';
    const documents = ['One "line".\nAnother.', 'Grün 猫'];

    for (const name of ['a.jsonl', 'a.ndjson', 'a.json', 'a.txt', 'a']) {
      it(`reads the field "text" of each line of ${name}`, async () => {
        expect(await read(name, lines)).to.deep.equal(documents);
        expect(await read(name, `\ufeff${lines}`)).to.deep.equal(documents);
      });
    }

    it('reads a list of objects', async () => {
      const list =
        '[\n {"text": "a", "score": NaN},\n {"text": ""}, {"text": null}, {"text": "b"}\n]';
      expect(await read('a.json', list)).to.deep.equal(['a', 'b']);
      expect(await read('a.txt', list.replace('NaN', '1'))).to.deep.equal(['a', 'b']);
    });

    it('reads another field, or the lines as text, on request', async () => {
      expect(await read('a.jsonl', '{"body": "x"}\n', { textField: 'body' })).to.deep.equal(['x']);
      expect(await read('a.jsonl', '{"body": "x"}\n', { format: 'text' })).to.deep.equal([
        '{"body": "x"}',
      ]);
      expect(await read('a.csv', '{"text": "x"}', { format: 'jsonl' })).to.deep.equal(['x']);
    });

    it('does not parse text that only begins like JSON', async () => {
      expect(await read('a.txt', '{curly} braces\n[1] a note\n')).to.deep.equal([
        '{curly} braces',
        '[1] a note',
      ]);
    });

    const refused: [string, string, RegExp][] = [
      [
        'a.jsonl',
        '{"text": "x"}\n{"prompt": "p", "completion": "c"}\n',
        /^a\.jsonl:2: expected an object with a text field "text", found the fields "prompt", "completion"\. .*--text-field.*--data-format text/,
      ],
      ['a.txt', '{"messages": []}\n', /found the fields "messages"/],
      ['a.jsonl', '{"text": 3}\n', /:1: .*found "text" of another type/],
      ['a.jsonl', '["text"]\n', /found a value that is not an object/],
      ['a.jsonl', '{}\n', /found no field/],
      ['a.txt', '{"text": "x"}\nplain text\n', /^a\.txt:2: not JSON: .*--data-format text/],
      ['a.json', '{\n"text": "x"\n}', /expected a list of objects, or one object per line/],
      ['a.json', '[{"text": "x"}, 7]', /item 1: .*not an object/],
      ['a.jsonl', '{"text": "x"', /:1: not JSON/],
    ];
    for (const [name, content, message] of refused) {
      it(`reports errors in ${JSON.stringify(content)} in ${name}`, async () => {
        expect(await refusal(name, content)).to.match(message);
      });
    }
  });

  describe('of tables', () => {
    const rows = 'id;text;n\n1;"Two\nlines; and a ""quote""";2\n\n2;Grün;3\n3;;4\n';

    it('reads a column of CSV with any separator', async () => {
      const expected = ['Two\nlines; and a "quote"', 'Grün'];
      expect(await read('a.csv', rows)).to.deep.equal(expected);
      expect(await read('a.csv', `\ufeff${rows.replaceAll('\n', '\r\n')}`)).to.deep.equal([
        'Two\r\nlines; and a "quote"',
        'Grün',
      ]);
      expect(await read('a.csv', 'text,x\n"a, b",1\n')).to.deep.equal(['a, b']);
      const tabs = Buffer.from('\ufeffx\ttext\n1\tÄ, ö\n', 'utf16le');
      expect(await read('a.tsv', tabs)).to.deep.equal(['Ä, ö']);
      expect(
        await read('a.txt', 'body|x\nq|1\n', { format: 'csv', textField: 'body' }),
      ).to.deep.equal(['q']);
    });

    it('reads a column of Parquet under any file name', async () => {
      const expected = ['A mill by the river.', 'Zwei Zeilen,\nein Text: Überfluß.'];
      expect(await readDocuments(stories)).to.deep.equal(expected);
      for (const name of ['stories', 'stories.txt', 'stories.jsonl']) {
        expect(await read(name, await readFile(stories)), name).to.deep.equal(expected);
      }
    });

    it('reports errors', async () => {
      expect(await refusal('a.csv', 'id,body\n1,x\n')).to.equal(
        'a.csv: expected a column "text", found "id", "body". Name another column with --text-field',
      );
      expect(await refusal('a.csv', 'text,b\nx,1\ny\n')).to.match(/^a\.csv: not CSV: .*line 3/);
      expect(await refusal('a.csv', 'text,b\n"x,1\n')).to.match(/not CSV: .*[Qq]uote/);
      expect(await refusal('a.csv', Buffer.from('text,b\nx\xe9,1\n', 'latin1'))).to.match(
        /line 2 is not UTF-8/,
      );
      expect(await refusal('a.parquet', 'no table')).to.match(/cannot be read as Parquet/);
      for (const [textField, message] of [
        ['body', /expected a column "body", found "id", "text", "words"/],
        ['id', /row 0: expected text in the column "id"/],
      ] as const) {
        const error = await readDocuments(stories, { textField }).then(
          () => undefined,
          (thrown: unknown) => thrown,
        );
        expect(error)
          .to.be.instanceOf(TrainingError)
          .with.property('message')
          .that.matches(message);
      }
    });
  });

  it('leaves no file open', async function () {
    const open = () => readdir('/proc/self/fd').catch(() => undefined);
    const before = await open();
    if (!before) return this.skip();
    await refusal('f', Buffer.from('%PDF-1.4 and more'));
    await refusal('a.jsonl', `{"a": 1}\n${'{"text": "x"}\n'.repeat(20_000)}`);
    await refusal('a.csv', `a,b\n${'1,2\n'.repeat(40_000)}`);
    await refusal('a.csv', `text,b\n1\n${'1,2\n'.repeat(40_000)}`);
    await readDocuments(stories);
    await new Promise((resolve) => setTimeout(resolve, 20));
    expect(await open()).to.have.length(before.length);
  });
});
