// `rene verify` on the browser's WebGPU: `npm run verify:browser -- goldens`.
import { resolve } from 'node:path';
import { verifyElsewhere } from '@rene-js/cli/internal';
import { closeBrowser, useSoftwareGpu } from './harness/chromium.js';
import { verifyInPage } from './harness/verify_in_page.js';

useSoftwareGpu();
// npm runs this in browser-tests/.
process.chdir(process.env.INIT_CWD ?? '.');
try {
  await verifyElsewhere(process.argv.slice(2), (folder, options, model) =>
    verifyInPage(resolve(folder), options, { ...model, backend: 'webgpu' }),
  );
} finally {
  await closeBrowser();
}
