// Models and tokenizers from a web server, and what a browser is given of this package.
import { existsSync, readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { resolveModel } from '../../src/checkpoint/resolve.js';
import { CheckpointError, TokenizerError } from '../../src/errors.js';
import { ReneLMHeadModel } from '../../src/model.js';
import { Tokenizer } from '../../src/tokenizer.js';
import { errorOf } from './fixtures.js';

const SHARD = 'model-00001-of-00001.safetensors';

describe('a model on a web server', () => {
  let server: Server;
  let origin: string;
  let dir: string;

  before(async () => {
    dir = await resolveModel('rene-tiny');
    const weights = readFileSync(join(dir, 'model.safetensors'));
    const index = JSON.stringify({ weight_map: { 'backbone.embedding.weight': SHARD } });
    const files: Record<string, Buffer> = {
      '/whole/config.json': readFileSync(join(dir, 'config.json')),
      '/whole/tokenizer.json': readFileSync(join(dir, 'tokenizer.json')),
      '/whole/model.safetensors': weights,
      '/shards/config.json': readFileSync(join(dir, 'config.json')),
      '/shards/model.safetensors.index.json': Buffer.from(index),
      [`/shards/${SHARD}`]: weights,
      '/broken/config.json': Buffer.from('{"d_model": '),
    };
    server = createServer((request, response) => {
      const file = files[request.url ?? ''];
      const [, start, end] = /^bytes=(\d+)-(\d+)$/.exec(request.headers.range ?? '') ?? [];
      if (!file) response.writeHead(404).end();
      else if (start === undefined) response.writeHead(200).end(file);
      else {
        response.writeHead(206, { 'content-range': `bytes ${start}-${end}/${file.length}` });
        response.end(file.subarray(Number(start), Number(end) + 1));
      }
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    origin = `http://127.0.0.1:${typeof address === 'object' ? address?.port : address}`;
  });

  after(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  it('gives the logits of the same files on disk, whole or in shards', async () => {
    const ids = [[5, 17, 301, 44]];
    const local = await ReneLMHeadModel.fromPretrained(dir, { backend: 'simd' });
    const expected = await local.forward(ids).data();
    local.dispose();
    for (const folder of ['whole/', 'shards']) {
      const remote = await ReneLMHeadModel.fromPretrained(`${origin}/${folder}`);
      expect(await remote.forward(ids).data(), folder).to.deep.equal(expected);
      remote.dispose();
    }
  });

  it('has its tokenizer beside it', async () => {
    const remote = await Tokenizer.fromPretrained(`${origin}/whole`);
    const local = await Tokenizer.fromPretrained('rene-tiny');
    const text = 'A glacier is a slowly moving mass of ice.';
    expect(remote.encode(text)).to.deep.equal(local.encode(text));
    expect(remote.eosTokenId).to.equal(local.eosTokenId);
    const none = await errorOf(TokenizerError, () => Tokenizer.fromPretrained(`${origin}/shards`));
    expect(none.message).to.contain('no tokenizer.json');
  });

  it('says what is missing', async () => {
    const load = (path: string) => () => ReneLMHeadModel.fromPretrained(`${origin}/${path}`);
    const gone = await errorOf(CheckpointError, load('gone'));
    expect(gone.message).to.match(/gone\/model\.safetensors: .*HTTP 404/);
    const broken = await errorOf(CheckpointError, load('broken'));
    expect(broken.message).to.match(/broken\/config\.json: not JSON/);
    const nobody = await errorOf(CheckpointError, () =>
      ReneLMHeadModel.fromPretrained('http://127.0.0.1:1/x'),
    );
    expect(nobody.message).to.contain('cannot be reached');
  });
});

describe("the browser's entry", () => {
  it('imports no Node module before one is needed', () => {
    const packages = fileURLToPath(new URL('../../../../', import.meta.url));
    const seen = new Set<string>();
    const wrong: string[] = [];
    const follow = (path: string) => {
      if (seen.has(path)) return;
      seen.add(path);
      // Static imports only; what stands behind import() is loaded where it exists.
      const source = readFileSync(path, 'utf8');
      for (const [, name = ''] of source.matchAll(
        /^(?:import|export)\b[^;'"]*['"]([^'"]+)['"];/gm,
      )) {
        if (name.startsWith('node:')) wrong.push(`${path} imports ${name}`);
        if (name.startsWith('.')) follow(join(dirname(path), name));
        if (name === '@rene-js/layers') follow(join(packages, 'layers/dist/src/index.js'));
      }
    };
    const manifest: unknown = JSON.parse(readFileSync(join(packages, 'rene/package.json'), 'utf8'));
    expect(manifest).to.have.nested.property(
      'exports.\\..browser.default',
      './dist/src/inference.js',
    );
    const entries = ['rene/dist/src/inference.js', 'layers/dist/src/backends/simd/index.js'];
    for (const entry of entries) follow(join(packages, entry));
    expect(wrong).to.deep.equal([]);
    expect(seen.size).to.be.above(100);
  });

  it('is spared the files that its packages map away, all of which exist', () => {
    const packages = fileURLToPath(new URL('../../../../', import.meta.url));
    for (const name of ['layers', 'rene']) {
      const { browser } = JSON.parse(readFileSync(join(packages, name, 'package.json'), 'utf8'));
      for (const path of Object.keys(browser).filter((key) => key.startsWith('.'))) {
        expect(existsSync(join(packages, name, path)), path).to.equal(true);
      }
    }
  });
});
