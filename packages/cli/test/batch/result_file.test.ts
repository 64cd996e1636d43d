import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import fc from 'fast-check';
import { fileLines } from '../../src/batch/file_lines.js';
import { type BatchResult, ResultFile } from '../../src/batch/result_file.js';

const result = (i: number): BatchResult => ({
  id: `batch_req_${i}`,
  custom_id: `ä${i}`,
  response: { status_code: i % 3 === 0 ? 400 : 200, request_id: 'r', body: { text: 'x\u2028y' } },
  error: null,
});
const ids = new Set(Array.from({ length: 5 }, (_, i) => result(i).id));

describe('the results of a batch', () => {
  const folder = temporaryFolders();
  const newPath = () => join(folder(), 'out.jsonl');

  it('are continued after a file that ends anywhere', async () => {
    const path = newPath();
    const whole = await ResultFile.open(path, ids);
    for (let i = 0; i < 3; i++) whole.append(result(i));
    whole.close();
    const bytes = readFileSync(path);
    const ends = [...bytes.keys()].filter((at) => bytes[at] === 10);
    for (let length = 0; length <= bytes.length; length++) {
      writeFileSync(path, bytes.subarray(0, length));
      const file = await ResultFile.open(path, ids);
      const count = ends.filter((end) => end < length).length;
      expect(file.done.size, `${length} bytes`).to.equal(count);
      expect(file.failed).to.equal(count > 0 ? 1 : 0);
      for (let i = count; i < 3; i++) file.append(result(i));
      file.close();
      expect(readFileSync(path).equals(bytes), `${length} bytes`).to.equal(true);
    }
  });

  it('are not written to the file of something else, which stays as it is', async () => {
    const path = newPath();
    const own = `${JSON.stringify(result(1))}\n`;
    const files: [text: string, message: RegExp][] = [
      ['my notes', /line 1: expected a result of rene batch; choose another output file/],
      [`my notes\n${own}`, /line 1: expected a result/],
      [`${own}{"id":"other"}\n`, /line 2: expected a result/],
      [`${own}{"id": 5`, /line 2: expected a result/],
      [own.replace('batch_req_1', 'batch_req_99'), /result of 'ä1' belongs to another request/],
      [own + own, /line 2: batch_req_1 occurs twice/],
    ];
    for (const [text, message] of files) {
      writeFileSync(path, text);
      const error: unknown = await ResultFile.open(path, ids).catch((e) => e);
      expect(error).to.be.instanceOf(Error).and.to.have.property('name', 'BatchError');
      expect(String(error)).to.match(message);
      expect(readFileSync(path, 'utf8')).to.equal(text);
    }
  });

  it('say which file cannot be written', async () => {
    const dir = folder();
    writeFileSync(join(dir, 'file'), '');
    const error: unknown = await ResultFile.open(join(dir, 'file', 'out'), ids).catch((e) => e);
    expect(error).to.have.property('name', 'FileError');
  });
});

describe('the lines of a file', () => {
  const folder = temporaryFolders();

  it('end with line feeds alone, whatever pieces the file is read in', async () => {
    const path = join(folder(), 'lines');
    const piece = fc.constantFrom(
      'a',
      'é',
      '\u2028',
      '\u0085',
      '\r',
      ' ',
      '',
      '🙂',
      'x'.repeat(70_000),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(fc.array(piece).map((p) => p.join(''))), async (texts) => {
        writeFileSync(path, `\uFEFF${texts.join('\n')}`);
        const found = [];
        for await (const { text, number } of fileLines(path)) found.push([number, text]);
        const expected = texts.flatMap((text, i) =>
          text.trim() === '' ? [] : [[i + 1, text.replace(/\r$/, '')]],
        );
        expect(found).to.deep.equal(expected);
      }),
      { numRuns: 30 },
    );
  });

  it('know where they start', async () => {
    const path = join(folder(), 'lines');
    writeFileSync(path, 'ä\r\n\nb\n');
    appendFileSync(path, 'c');
    const found = [];
    for await (const line of fileLines(path)) found.push(line);
    expect(found).to.deep.equal([
      { text: 'ä', number: 1, start: 0, isWhole: true },
      { text: 'b', number: 3, start: 5, isWhole: true },
      { text: 'c', number: 4, start: 7, isWhole: false },
    ]);
  });
});
