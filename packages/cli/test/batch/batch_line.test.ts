import { expect } from 'chai';
import fc from 'fast-check';
import { isLineError, parseBatchLine } from '../../src/batch/batch_line.js';

const valid = { custom_id: 'a', method: 'POST', url: '/v1/completions', body: { prompt: 'b' } };
const parse = (line: unknown, number = 3, model = 'm') =>
  parseBatchLine(typeof line === 'string' ? line : JSON.stringify(line), number, model);

describe('batch lines', () => {
  it('are requests, with a seed that depends on the custom_id', () => {
    const { request, customId } = parse(valid);
    if (isLineError(request)) throw new Error(request.message);
    expect(customId).to.equal('a');
    expect(request.url).to.equal('/v1/completions');
    const { seed, ...body } = request.body;
    expect(body).to.deep.equal({ prompt: 'b' });
    expect(seed).to.be.a('number');
    expect(parse(valid, 9, 'other').request).to.deep.equal(request);
    expect(parse({ ...valid, custom_id: 'b' }).request).to.not.deep.equal(request);
    const seeded = { ...valid, body: { prompt: 'b', seed: -1 } };
    expect(parse(seeded).request).to.deep.include({ body: seeded.body });
  });

  it('have ids that differ with the model and with every field', () => {
    const lines = [
      parse(valid),
      parse(valid, 3, 'n'),
      parse({ ...valid, custom_id: 'b' }),
      parse({ ...valid, url: '/v1/chat/completions' }),
      parse({ ...valid, body: { prompt: 'c' } }),
      parse('{'),
      parse('{', 4),
    ];
    expect(new Set(lines.map(({ id }) => id))).to.have.property('size', lines.length);
    expect(parse(valid, 8).id, 'the place in the file').to.equal(lines[0]?.id);
  });

  it('that are not valid say what is wrong', () => {
    const wrong: [line: unknown, code: string, message: RegExp][] = [
      ['nonsense', 'invalid_json_line', /^line 3: expected a JSON object$/],
      [[1], 'invalid_json_line', /JSON object/],
      [{ ...valid, custom_id: 7 }, 'missing_required_parameter', /custom_id/],
      [{ ...valid, custom_id: '' }, 'missing_required_parameter', /custom_id/],
      [{ ...valid, method: 'GET' }, 'invalid_method', /expected the method POST, found "GET"/],
      [{ ...valid, url: '/v1/embeddings' }, 'invalid_url', /found "\/v1\/embeddings"/],
      [{ ...valid, url: undefined }, 'invalid_url', /found none/],
      [{ ...valid, body: 'b' }, 'missing_required_parameter', /body/],
      [{ ...valid, body: { stream: true } }, 'invalid_request', /stream/],
    ];
    for (const [line, code, message] of wrong) {
      const { request } = parse(line);
      expect(request).to.include({ code, line: 3 });
      expect(isLineError(request) && request.message).to.match(message);
    }
  });

  it('may hold anything', () => {
    const line = fc.oneof(
      fc.string(),
      fc.json(),
      fc.object().map((o) => JSON.stringify(o)),
    );
    fc.assert(
      fc.property(line, fc.object(), (text, more) => {
        expect(parse(text).id).to.match(/^batch_req_[0-9a-f]{32}$/);
        expect(parse({ ...valid, ...more }).id).to.match(/^batch_req_[0-9a-f]{32}$/);
      }),
      { numRuns: 200 },
    );
  });
});
