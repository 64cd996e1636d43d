// The docs site: the guides, the notes for developers and the API reference, which typedoc writes to api/.
import { existsSync, readFileSync } from 'node:fs';
import { posix } from 'node:path';
import { defineConfig, type MarkdownRenderer } from 'vitepress';

const REPOSITORY = 'https://github.com/rene-js/rene-js/blob/main';
const apiSidebar = new URL('../api/typedoc-sidebar.json', import.meta.url);

export default defineConfig({
  title: 'rene-js',
  description: 'Hybrid Mamba-2 language models in TypeScript, on TensorFlow.js',
  srcExclude: ['node_modules/**'],
  cleanUrls: true,
  markdown: {
    // Docstrings contain text such as `results_<time>.json`, which is not HTML.
    html: false,
    config: linkRepositoryFiles,
  },
  themeConfig: {
    search: { provider: 'local' },
    nav: [
      { text: 'Guide', link: '/guide/install' },
      { text: 'API', link: '/api/' },
      { text: 'Development', link: '/dev/architecture' },
    ],
    sidebar: {
      '/guide/': [
        {
          text: 'Use it',
          items: [
            { text: 'Install', link: '/guide/install' },
            { text: 'Generate text', link: '/guide/generate' },
            { text: 'Chat', link: '/guide/chat' },
            { text: 'Checkpoints and adapters', link: '/guide/checkpoints' },
            { text: 'Quantise', link: '/guide/quantise' },
            { text: 'Serve over HTTP', link: '/guide/serve' },
            { text: 'Fields of a request', link: '/guide/request-fields' },
            { text: 'Batches and workers', link: '/guide/scale-out' },
            { text: 'Evaluate', link: '/guide/evaluate' },
            { text: 'Train and fine-tune', link: '/guide/train' },
            { text: 'Layers for TensorFlow.js', link: '/guide/layers' },
            { text: 'In the browser', link: '/guide/browser' },
            { text: 'WebGPU', link: '/guide/webgpu' },
            { text: 'TensorFlow backends', link: '/guide/tensorflow' },
            { text: 'Troubleshooting', link: '/guide/troubleshooting' },
          ],
        },
        {
          text: 'Extend it',
          items: [
            { text: 'Add an architecture', link: '/guide/add-an-architecture' },
            { text: 'Add an op', link: '/guide/add-an-op' },
            { text: 'Add a backend', link: '/guide/add-a-backend' },
          ],
        },
      ],
      '/dev/': [
        {
          text: 'Development',
          items: [
            { text: 'Architecture', link: '/dev/architecture' },
            { text: 'CUDA', link: '/dev/cuda' },
            { text: 'Performance log', link: '/dev/performance-log' },
          ],
        },
      ],
      '/api/': existsSync(apiSidebar) ? JSON.parse(readFileSync(apiSidebar, 'utf8')) : [],
    },
  },
});

/** Links from a page to a file outside docs/ go to the repository, since the site does not contain it. */
function linkRepositoryFiles(md: MarkdownRenderer): void {
  md.core.ruler.push('repository_links', ({ tokens, env }) => {
    const folder = posix.dirname(env.relativePath ?? '');
    for (const token of tokens.flatMap(({ children }) => children ?? [])) {
      const href = token.attrGet('href');
      if (token.type !== 'link_open' || !href?.startsWith('../')) continue;
      const path = posix.join('docs', folder, href);
      if (!path.startsWith('docs/')) token.attrSet('href', `${REPOSITORY}/${path}`);
    }
  });
}
