// Lists the kernels that tfjs's own backends register, for packages/layers/test/composed_kernels.test.ts.
//
// Run it in a separate folder, so that tfjs-node-gpu's install script does not run:
//   npm init -y && npm install --ignore-scripts @tensorflow/tfjs-node-gpu@4.22.0 \
//     @tensorflow/tfjs-backend-wasm@4.22.0 @tensorflow/tfjs-backend-webgl@4.22.0 \
//     @tensorflow/tfjs-backend-webgpu@4.22.0
//   node list_backend_kernels.mjs FOLDER > packages/layers/test/fixtures/backend_kernels.json
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

const packages = join(process.argv[2] ?? '.', 'node_modules', '@tensorflow');

function registered(name) {
  const source = readFileSync(join(packages, name, 'dist/register_all_kernels.js'), 'utf8');
  return [...source.matchAll(/from '\.\/kernels\/(\w+)'/g)].map((match) => match[1]);
}

const lists = {
  'tfjs-node-gpu': readdirSync(join(packages, 'tfjs-node-gpu/dist/kernels'))
    .filter((file) => file.endsWith('.js'))
    .map((file) => file.slice(0, -'.js'.length)),
  'tfjs-backend-wasm': registered('tfjs-backend-wasm'),
  'tfjs-backend-webgl': registered('tfjs-backend-webgl'),
  'tfjs-backend-webgpu': registered('tfjs-backend-webgpu'),
};
for (const list of Object.values(lists)) list.sort();
console.log(JSON.stringify(lists, null, 1));
