// An esbuild plugin that removes what generation does not use from TensorFlow.js: gradients, optimisers, file
// formats, and the CPU kernels of images, convolutions, pooling, FFT, strings, ragged and sparse tensors.
import { readFile } from 'node:fs/promises';

const CORE = '/tfjs-core/dist/';
const UNUSED_FILES = new RegExp(
  `${CORE}(register_all_gradients|io/io|platforms/platform_node|hash_util|backends/einsum_util|` +
    'ops/(ragged_to_dense_util|segment_util|sparse/sparse_\\w+_util))\\.js$',
);
/** Replacements for files of which only some exports are needed. */
const STUBS = new Map([
  ['optimizers/register_optimizers', 'export function registerOptimizers() {}'],
  [
    'io/local_storage',
    'export class BrowserLocalStorage {} export class BrowserLocalStorageManager {}',
  ],
  ['io/indexed_db', 'export class BrowserIndexedDB {} export class BrowserIndexedDBManager {}'],
]);

const UNUSED_KERNELS = new RegExp(
  `'\\./kernels/(${[
    'AvgPool\\w*|MaxPool\\w*|\\w*Conv[23][Dd]\\w*|Dilation2D\\w*|LRN\\w*|BatchNorm|BatchToSpaceND|SpaceToBatchND',
    'CropAndResize|Resize\\w+|RotateWithOffset|FlipLeftRight|Transform|Draw|NonMaxSuppression\\w*|DepthToSpace|MirrorPad',
    'FFT|IFFT|ComplexAbs|Ragged\\w+|Sparse\\w+|String\\w+|StaticRegexReplace|Multinomial|Bincount|DenseBincount|Einsum',
    'TensorScatterUpdate|SearchSorted|UnsortedSegmentSum|Unique|Diag|LinSpace|Bitwise\\w+|EluGrad|Selu|Cumprod',
    'Acosh?|Asinh?|Atan[2h]?|Cosh|Sinh|Tan|IsFinite|IsInf|Mod|FloorDiv',
  ].join('|')})'`,
);

/** register_all_kernels.js without the imports and list entries of unused kernels. */
function withoutUnusedKernels(source) {
  const unused = new Set();
  const imports = /^import \{ (\w+) \} from ('[^']+');\n/gm;
  const kept = source.replace(imports, (line, name, path) => {
    if (!UNUSED_KERNELS.test(path)) return line;
    unused.add(name);
    return '';
  });
  return kept.replace(/^ {4}(\w+),?\n/gm, (line, name) => (unused.has(name) ? '' : line));
}

export const smallTfjs = {
  name: 'small-tfjs',
  setup(build) {
    build.onLoad({ filter: UNUSED_FILES }, () => ({ contents: 'export {};' }));
    for (const [file, contents] of STUBS) {
      build.onLoad({ filter: new RegExp(`${CORE}${file}\\.js$`) }, () => ({ contents }));
    }
    // As a dynamic import it would keep all names.
    build.onLoad({ filter: /tfjs-backend-cpu\/dist\/index\.js$/ }, () => ({
      contents:
        "import './base'; import './register_all_kernels'; export { MathBackendCPU } from './backend_cpu';",
    }));
    build.onLoad(
      { filter: /tfjs-backend-cpu\/dist\/register_all_kernels\.js$/ },
      async ({ path }) => ({
        contents: withoutUnusedKernels(await readFile(path, 'utf8')),
      }),
    );
  },
};
