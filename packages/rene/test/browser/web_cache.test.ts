// Files that a page keeps: downloads that go on, other versions, full storages, no network.
import { createHash } from 'node:crypto';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { createServer } from 'node:http';
import { errorOf } from '@rene-js/testing';
import { expect } from 'chai';
import fc from 'fast-check';
import type { ByteSource } from '../../src/checkpoint/byte_source.js';
import { cacheKey, unsignedUrl } from '../../src/checkpoint/web_cache/cache_key.js';
import type { FileEntry, PartStore } from '../../src/checkpoint/web_cache/part_store.js';
import { WebCache } from '../../src/checkpoint/web_cache/web_cache.js';
import { fetchJson } from '../../src/checkpoint/web_file.js';
import { Missing } from '../../src/checkpoint/web_file_options.js';
import { CheckpointError } from '../../src/errors.js';

const PART_BYTES = 160_000;

/** A store in memory, with room for so many bytes. */
class MemoryStore implements PartStore {
  readonly partBytes = PART_BYTES;
  readonly entries = new Map<string, FileEntry>();
  readonly parts = new Map<string, Blob>();
  constructor(private readonly room = Number.POSITIVE_INFINITY) {}

  keys = async () => [...this.entries.keys()];
  entry = async (key: string) => this.entries.get(key);
  setEntry = async (key: string, entry: FileEntry) => void this.entries.set(key, entry);
  part = async (key: string, index: number) => this.parts.get(`${key}/${index}`);
  async setPart(key: string, index: number, bytes: Uint8Array<ArrayBuffer>) {
    const others = [...this.parts].filter(([name]) => name !== `${key}/${index}`);
    if (others.reduce((sum, [, { size }]) => sum + size, bytes.length) > this.room) {
      throw Object.assign(new Error('full'), { name: 'QuotaExceededError' });
    }
    this.parts.set(`${key}/${index}`, new Blob([bytes]));
  }
  async remove(key: string) {
    this.entries.delete(key);
    for (const name of [...this.parts.keys()]) {
      if (name.startsWith(`${key}/`)) this.parts.delete(name);
    }
  }
}

const SIZE = 2 * PART_BYTES + 30_000;

function content(seed: number): Uint8Array {
  const bytes = new Uint8Array(SIZE);
  for (let i = 0; i < SIZE; i += 7) bytes[i] = (i * seed) & 255;
  return bytes;
}
/** More parts than are kept in memory. */
const LONG = 6 * PART_BYTES + 30_000;
const long = Uint8Array.from({ length: LONG }, (_, i) => (i * 31 + (i >> 8)) & 255);
const hash = (bytes: Uint8Array) => createHash('sha256').update(bytes).digest('hex');

describe('files that a page keeps', () => {
  let bytes = content(3);
  let etag = '"3"';
  /** Bytes after which the next responses are cut. */
  let cuts: number[] = [];
  /** The number of next requests that are not answered, once a response was cut. */
  let unanswered = 0;
  let ranges = true;
  let down = false;
  let sent = 0;
  const requests: string[] = [];
  const server = createServer((req, res) => answer(req, res));
  let url = '';
  let longUrl = '';

  function answer(req: IncomingMessage, res: ServerResponse): void {
    requests.push(`${req.method} ${req.headers.range ?? ''}`);
    if (down) return void req.socket.destroy();
    if (cuts.length === 0 && unanswered > 0) {
      unanswered--;
      return void (unanswered % 2 ? req.socket.destroy() : res.writeHead(503).end());
    }
    if (req.url?.startsWith('/x.json')) {
      const cut = cuts.shift() ?? 8;
      res.writeHead(200, { 'content-length': 8 });
      return void res.write('{"a": 1}'.slice(0, cut), () => (cut < 8 ? res.destroy() : res.end()));
    }
    if (req.url === '/long.safetensors') {
      return void res.writeHead(200, { etag, 'content-length': LONG }).end(long);
    }
    if (!req.url?.startsWith('/m.safetensors')) return void res.writeHead(404).end();
    const asked = ranges ? /^bytes=(\d+)-(\d*)$/.exec(req.headers.range ?? '') : null;
    const first = Number(asked?.[1] ?? 0);
    const last = asked?.[2] ? Number(asked[2]) : SIZE - 1;
    const headers = { etag, 'content-length': last - first + 1 };
    const range = { 'content-range': `bytes ${first}-${last}/${SIZE}` };
    res.writeHead(asked ? 206 : 200, asked ? { ...headers, ...range } : headers);
    if (req.method === 'HEAD') return void res.end();
    const end = Math.min(last + 1, first + (cuts.shift() ?? Number.POSITIVE_INFINITY));
    sent += end - first;
    const isCut = end <= last;
    res.write(bytes.subarray(first, end), () => (isCut ? res.destroy() : res.end()));
  }

  before(async () => {
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    const address = server.address();
    url = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}/m.safetensors`;
    longUrl = url.replace('m.safetensors', 'long.safetensors');
  });
  after(() => {
    server.closeAllConnections();
    server.close();
  });
  beforeEach(() => {
    [bytes, etag, ranges, down, sent] = [content(3), '"3"', true, false, 0];
    [cuts, unanswered] = [[], 0];
    requests.length = 0;
  });

  const notices: string[] = [];
  const options = { retryDelay: 1, onNotice: (notice: string) => void notices.push(notice) };

  async function open(store: PartStore, from = url): Promise<ByteSource> {
    const source = await new WebCache(store).open(from, options);
    if (!source || source instanceof Missing) throw new Error(`no source: ${source?.why}`);
    return source;
  }

  async function readAll(source: ByteSource): Promise<Uint8Array> {
    const end = await source.read(SIZE - 1000, 1000);
    const start = await source.read(0, SIZE - 1000);
    await source.close();
    return Buffer.concat([start, end]);
  }

  it('are downloaded in one request, and then not again', async () => {
    const store = new MemoryStore();
    expect(hash(await readAll(await open(store)))).to.equal(hash(bytes));
    expect(requests).to.deep.equal(['GET bytes=0-']);
    expect(sent).to.equal(SIZE);
    expect(hash(await readAll(await open(store)))).to.equal(hash(bytes));
    expect(requests.slice(1)).to.deep.equal(['HEAD ']);
    const [file] = await new WebCache(store).list();
    expect(file).to.deep.include({ url, bytes: SIZE, isComplete: true });
    down = true;
    expect(hash(await readAll(await open(store)))).to.equal(hash(bytes));
  });

  it('are kept whole as soon as they are closed after their last byte was read', async () => {
    const store = new MemoryStore();
    const { setPart } = store;
    store.setPart = async (...part) => {
      await new Promise((resolve) => setTimeout(resolve, 20));
      return setPart.apply(store, part);
    };
    const source = await open(store);
    await source.read(SIZE - 1, 1);
    await source.close();
    expect((await new WebCache(store).list())[0]?.isComplete).to.equal(true);
  });

  it('are read in any order, at once and while they arrive, by stores with and without readPart', async () => {
    const plain = new MemoryStore();
    let calls = 0;
    const direct = Object.assign(new MemoryStore(), {
      async readPart(key: string, index: number, into: Uint8Array) {
        const part = await direct.part(key, index);
        await new Promise((resolve) => setImmediate(resolve));
        // Buffers are used again: what another part left must not show.
        into.fill(7);
        into.set(new Uint8Array((await part?.arrayBuffer()) ?? []));
        return calls++ % 3 === 0 ? undefined : part?.size;
      },
    });
    const range = fc.tuple(fc.nat(LONG - 1), fc.nat(60_000), fc.boolean());
    await fc.assert(
      fc.asyncProperty(fc.array(range, { minLength: 4, maxLength: 12 }), async (ranges) => {
        for (const store of [plain, direct]) {
          const source = await open(store, longUrl);
          const read = ranges.map(async ([start, most, isOwn]) => {
            const length = Math.min(most, LONG - start);
            const own = isOwn ? new Uint8Array(length) : undefined;
            const found = await source.read(start, length, own);
            if (own) expect(found).to.equal(own);
            expect(hash(found)).to.equal(hash(long.subarray(start, start + length)));
          });
          await Promise.all(read);
          await source.close();
          if (ranges.length % 2) await new WebCache(store).delete(() => true);
        }
      }),
      { numRuns: 20 },
    );
  });

  it('go on where a connection broke, at once', async () => {
    cuts = [50_001];
    expect(hash(await readAll(await open(new MemoryStore())))).to.equal(hash(bytes));
    expect(requests).to.deep.equal(['GET bytes=0-', 'GET bytes=50001-']);
    expect(sent).to.equal(SIZE);
  });

  it('go on where nothing arrived, where the network is away for a while, and without ranges', async () => {
    for (ranges of [true, false]) {
      for (const lengths of [[0], [0, 70_000, 0], [PART_BYTES, PART_BYTES + 1]]) {
        [cuts, unanswered] = [[...lengths], 2];
        expect(hash(await readAll(await open(new MemoryStore())))).to.equal(hash(bytes));
        expect([cuts, unanswered]).to.deep.equal([[], 0]);
      }
    }
  });

  it('are not put together from two versions', async () => {
    cuts = [PART_BYTES + 1];
    const source = await open(new MemoryStore());
    [etag, bytes] = ['"8"', content(8)];
    const { message } = await errorOf(CheckpointError, () => source.read(0, SIZE));
    expect(message).to.match(/m\.safetensors: it changed while it was downloaded; load it again$/);
    await source.close();
  });

  it('go on in the next visit, unless the file has changed', async () => {
    for (const changes of [false, true]) {
      [etag, bytes, sent] = ['"3"', content(3), 0];
      const store = new MemoryStore();
      const cut = PART_BYTES + 10_000;
      cuts = [cut];
      const source = await open(store);
      await source.read(cut - 10, 10);
      down = true;
      await source.close();
      down = false;
      if (changes) [etag, bytes] = ['"4"', content(4)];
      requests.length = 0;
      expect(hash(await readAll(await open(store)))).to.equal(hash(bytes));
      expect(requests[0]).to.equal(`GET bytes=${cut}-`);
      expect(requests).to.have.length(changes ? 2 : 1);
      if (!changes) expect(sent).to.equal(SIZE);
    }
  });

  it('are downloaded anew when the server has another version', async () => {
    const store = new MemoryStore();
    await readAll(await open(store));
    [etag, bytes] = ['"5"', content(5)];
    expect(hash(await readAll(await open(store)))).to.equal(hash(bytes));
  });

  it('come from servers without ranges', async () => {
    ranges = false;
    const store = new MemoryStore();
    for (let i = 0; i < 2; i++)
      expect(hash(await readAll(await open(store)))).to.equal(hash(bytes));
    expect(sent).to.equal(SIZE);
  });

  it('are read from the server where the storage is full, with a notice', async () => {
    const store = new MemoryStore(PART_BYTES + 1000);
    notices.length = 0;
    expect(hash(await readAll(await open(store)))).to.equal(hash(bytes));
    expect(notices.join()).to.match(/m\.safetensors is not kept: the browser's storage is full/);
    expect(store.parts.size).to.equal(0);
  });

  it('fail with an error where the server fails for good', async () => {
    cuts = [1000];
    const source = await open(new MemoryStore());
    down = true;
    await errorOf(CheckpointError, () => source.read(0, 2000));
    await source.close();
  });

  it('include small files, and know without a network which are missing', async () => {
    const cache = new WebCache(new MemoryStore());
    const [there, gone] = [url.replace('m.safetensors', 'x.json'), url.replace('m.', 'gone.')];
    for (let i = 0; i < 2; i++) {
      expect(await fetchJson(there, { cache })).to.deep.equal({ json: { a: 1 } });
      expect(await fetchJson(gone, { cache })).to.deep.equal(new Missing('HTTP 404'));
      down = true;
    }
    await errorOf(CheckpointError, () => fetchJson(`${there}x`, { cache }));
    [down, cuts] = [false, [0, 3]];
    expect(await fetchJson(there, { cache, retryDelay: 1 })).to.deep.equal({ json: { a: 1 } });
    down = true;
    expect(await cache.delete((each) => each === there)).to.equal(1);
    await errorOf(CheckpointError, () => fetchJson(there, { cache }));
  });

  it('have a key without signature, login and hash', async () => {
    const plain = 'https://a.example/m.safetensors?v=2';
    const signed = `https://u:p@a.example/m.safetensors?v=2&X-Amz-Signature=1&Expires=9&sig=x#top`;
    expect(unsignedUrl(signed)).to.equal(plain);
    expect(await cacheKey(signed)).to.equal(await cacheKey(plain));
    expect(await cacheKey(signed)).not.to.equal(await cacheKey(plain.replace('2', '3')));
  });
});
