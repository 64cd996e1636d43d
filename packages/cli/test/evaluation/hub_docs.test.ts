// Documents from a fake hub: caching, resumption, offline use, errors.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HubError } from '@rene-js/rene';
import { errorOf, temporaryFolders } from '@rene-js/testing';
import { expect } from 'chai';
import { hubDocs } from '../../src/evaluation/data/hub_docs.js';
import { EvaluationError } from '../../src/evaluation/errors.js';
import { selectTasks } from '../../src/evaluation/tasks/index.js';

const folder = temporaryFolders();
const COMMIT = '0123456789abcdef0123456789abcdef01234567';

const fixture = (codec: string) =>
  readFileSync(
    fileURLToPath(
      new URL(`../../../test/evaluation/fixtures/questions.${codec}.parquet`, import.meta.url),
    ),
  );

/** A fake hub with one data set. It counts requests and bytes, and can interrupt a download. */
class FakeHub {
  /** The only branch. */
  revision = 'refs/convert/parquet';
  readonly log: string[] = [];
  bytes = 0;
  breakAfter = Number.POSITIVE_INFINITY;
  private readonly server: Server;

  constructor(private readonly files: Record<string, Buffer>) {
    this.server = createServer((request, response) => {
      const url = decodeURIComponent(request.url ?? '');
      this.log.push(`${request.method} ${url}`);
      if (url === `/api/datasets/allenai/openbookqa/revision/${this.revision}`) {
        const siblings = Object.keys(this.files).map((rfilename) => ({ rfilename }));
        response.end(JSON.stringify({ sha: COMMIT, siblings }));
        return;
      }
      const name = url.replace(`/datasets/allenai/openbookqa/resolve/${COMMIT}/`, '');
      const file = this.files[name];
      if (!file) {
        response.statusCode = 404;
        response.end();
        return;
      }
      const etag = createHash('sha256').update(file).digest('hex');
      response.setHeader('etag', `"${etag}"`);
      const start = Number(request.headers.range?.match(/bytes=(\d+)-/)?.[1] ?? 0);
      if (start > 0) {
        response.statusCode = 206;
        response.setHeader('content-range', `bytes ${start}-${file.length - 1}/${file.length}`);
      }
      response.setHeader('content-length', file.length - start);
      if (request.method === 'HEAD') {
        response.end();
        return;
      }
      const part = file.subarray(start, start + this.breakAfter);
      this.bytes += part.length;
      this.breakAfter = Number.POSITIVE_INFINITY;
      response.write(part, () => {
        if (start + part.length < file.length) response.destroy();
        else response.end();
      });
    });
  }

  async start(): Promise<string> {
    await new Promise<void>((resolve) => this.server.listen(0, '127.0.0.1', resolve));
    const address = this.server.address();
    if (typeof address !== 'object' || address === null) throw new Error('no address');
    return `http://127.0.0.1:${address.port}`;
  }

  stop(): void {
    this.server.closeAllConnections();
    this.server.close();
  }
}

describe('hubDocs', () => {
  let hub: FakeHub;
  let endpoint: string;
  const [task] = selectTasks(['openbookqa']).tasks;
  if (!task) throw new Error('no task');

  beforeEach(async () => {
    hub = new FakeHub({
      'main/test/0000.parquet': fixture('snappy'),
      'main/test/0001.parquet': fixture('zstd'),
      'main/train/0000.parquet': fixture('zstd'),
      'additional/test/0000.parquet': Buffer.from('not asked for'),
    });
    endpoint = await hub.start();
  });
  afterEach(() => hub.stop());

  it('reads all parts of a split, resumes a broken download, and requests them only once', async () => {
    const cacheDir = folder();
    hub.breakAfter = 100;
    const options = { endpoint, cacheDir, offline: false, retryDelay: 1 };
    const { docs, fewshotDocs } = await hubDocs(options).load(task, false);
    expect(docs).to.have.length(4);
    expect(fewshotDocs).to.deep.equal([]);
    expect(docs[1]).to.deep.equal({
      id: 'q2',
      question_stem: 'Naïve bees 🐝 make',
      choices: { text: ['honey', 'glass', 'iron', 'snow'], label: ['A', 'B', 'C', 'D'] },
      answerKey: 'A',
      n: Number.MAX_SAFE_INTEGER,
    });
    expect(docs.slice(2)).to.deep.equal(docs.slice(0, 2));
    expect(docs.map((doc) => task.question(doc).gold)).to.deep.equal([1, 0, 1, 0]);
    expect(hub.bytes).to.equal(fixture('snappy').length + fixture('zstd').length);

    hub.log.length = 0;
    const again = await hubDocs({ ...options, offline: true }).load(task, false);
    expect(again.docs).to.deep.equal(docs);
    expect(hub.log).to.deep.equal([]);
    const withExamples = await hubDocs(options).load(task, true);
    expect(withExamples.fewshotDocs).to.have.length(2);
    const error = await errorOf(HubError, () =>
      hubDocs({ endpoint, cacheDir: folder(), offline: true }).load(task, false),
    );
    expect(error.message).to.include('HF_HUB_OFFLINE').and.to.include('--data_dir');
  });

  it('falls back to the files of the main branch', async () => {
    hub.stop();
    const doc = { id: 'm', question_stem: 'Ice is', answerKey: 'B' };
    const choices = { text: ['hot', 'cold'], label: ['A', 'B'] };
    hub = new FakeHub({
      'main/test-00000-of-00002.parquet': fixture('snappy'),
      'main/test-00001-of-00002.parquet': fixture('zstd'),
      'main/train.jsonl': Buffer.from(`${JSON.stringify({ ...doc, choices })}\n`),
      'additional/test-00000-of-00001.parquet': Buffer.from('not asked for'),
      'main/test/readme.md': Buffer.from('no documents'),
    });
    hub.revision = 'main';
    const options = { endpoint: await hub.start(), cacheDir: folder(), offline: false };
    const { docs, fewshotDocs } = await hubDocs(options).load(task, true);
    expect(docs).to.have.length(4);
    expect(fewshotDocs).to.deep.equal([{ ...doc, choices }]);
    hub.log.length = 0;
    const again = await hubDocs(options).load(task, true);
    expect(again).to.deep.equal({ docs, fewshotDocs });
    expect(hub.log).to.deep.equal([]);
  });

  it("reads the cache of Python's libraries, if it is complete", async () => {
    const cacheDir = folder();
    const repo = join(cacheDir, 'datasets--allenai--openbookqa');
    const snapshot = join(repo, 'snapshots', COMMIT, 'main');
    mkdirSync(snapshot, { recursive: true });
    mkdirSync(join(repo, 'refs'));
    writeFileSync(join(repo, 'refs', 'main'), COMMIT);
    writeFileSync(join(snapshot, 'test-00000-of-00002.parquet'), fixture('snappy'));
    const offline = () => hubDocs({ cacheDir, offline: true, endpoint }).load(task, false);
    await errorOf(HubError, offline);
    writeFileSync(join(snapshot, 'test-00001-of-00002.parquet'), fixture('zstd'));
    expect((await offline()).docs).to.have.length(4);
  });

  it('reports missing and damaged files', async () => {
    const options = { endpoint, cacheDir: folder(), offline: false, retryDelay: 1 };
    const dataset = { ...task.dataset, name: 'other' };
    const missing = await errorOf(EvaluationError, () =>
      hubDocs(options).load({ ...task, dataset }, false),
    );
    expect(missing.message).to.include('no files for other/test');
    const broken = { ...task.dataset, name: 'additional' };
    const error = await errorOf(EvaluationError, () =>
      hubDocs(options).load({ ...task, dataset: broken }, false),
    );
    expect(error.message).to.include('not a Parquet file');
    const dead = { ...options, endpoint: 'http://127.0.0.1:1' };
    const nobody = await errorOf(HubError, () => hubDocs(dead).load(task, false));
    expect(nobody.message).to.match(
      /^allenai\/openbookqa: http:\/\/127\.0\.0\.1:1 cannot be reached .*--docs or --data_dir$/,
    );
  });
});
