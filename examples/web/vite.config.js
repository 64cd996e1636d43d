// Isolation headers give the worker all cores. rene-tiny is served from the installed package.
import { createReadStream } from 'node:fs';
import { cp, stat } from 'node:fs/promises';
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

export default defineConfig({
  base: './',
  plugins: [includedModel],
  server: { headers },
  preview: { headers },
});
