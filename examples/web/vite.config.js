// Isolation headers give the worker all cores. rene-tiny is served from the installed package.
import { createReadStream } from 'node:fs';
import { cp, readdir, readFile, stat, writeFile } from 'node:fs/promises';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { defineConfig } from 'vite';

const headers = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
};
const models = fileURLToPath(new URL('node_modules/@rene-js/rene/models', import.meta.url));

/** Serves /models in development, and copies the folder into the build. */
const includedModel = {
  name: 'included-model',
  configureServer(server) {
    server.middlewares.use('/models', async (request, response, next) => {
      const file = models + new URL(request.url, 'http://x').pathname;
      const found = await stat(file).catch(() => undefined);
      if (!found?.isFile()) return next();
      response.setHeader('content-length', found.size);
      createReadStream(file).pipe(response);
    });
  },
  closeBundle: () =>
    cp(models, fileURLToPath(new URL('dist/models', import.meta.url)), {
      recursive: true,
      dereference: true,
    }),
};

/** Names all files of the build in the service worker, which keeps them. */
const offlineFiles = {
  name: 'offline-files',
  apply: 'build',
  async closeBundle() {
    const dist = new URL('dist/', import.meta.url);
    const entries = await readdir(dist, { recursive: true, withFileTypes: true });
    const files = entries
      .filter((entry) => entry.isFile() && !/^(index\.html|service_worker\.js)$/.test(entry.name))
      .map(({ parentPath, name }) => `./${relative(fileURLToPath(dist), join(parentPath, name))}`)
      .filter((path) => !path.startsWith('./models/'));
    const worker = new URL('service_worker.js', dist);
    const list = JSON.stringify(['./', ...files.sort()]);
    const source = await readFile(worker, 'utf8');
    await writeFile(worker, source.replace('FILES = []', `FILES = ${list}`));
  },
};

export default defineConfig({
  base: './',
  plugins: [includedModel, offlineFiles],
  server: { headers },
  preview: { headers },
});
