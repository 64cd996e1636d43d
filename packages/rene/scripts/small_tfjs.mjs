// An esbuild plugin that removes what generation does not use from TensorFlow.js and from our kernels: gradients,
// optimisers, file formats, the profiler, and the CPU kernels of images, convolutions, pooling, FFT, strings, ragged
// and sparse tensors.
import { readFile } from 'node:fs/promises';

const CORE = '/tfjs-core/dist/';
const UNUSED_FILES = new RegExp(
  `/layers/dist/src/gradients/register_all_gradients\\.js$|${CORE}(register_all_gradients|io/io|platforms/platform_node|hash_util|backends/einsum_util|` +
    'ops/(ragged_to_dense_util|segment_util|sparse/sparse_\\w+_util))\\.js$',
);
/** Replacements for files of which only some exports are needed. */
const STUBS = new Map([
  ['optimizers/register_optimizers', 'export function registerOptimizers() {}'],
  [
    'io/local_storage',
    'export class BrowserLocalStorage {} export class BrowserLocalStorageManager {}',
  ],
  ['io/model_management', 'export const ModelStoreManagerRegistry = { registerManager() {} };'],
  ['profiler', 'export class Profiler {}'],
  ['io/indexed_db', 'export class BrowserIndexedDB {} export class BrowserIndexedDBManager {}'],
]);

const UNUSED_KERNELS = new RegExp(
  `'\\./kernels/(${[
    'AvgPool\\w*|MaxPool\\w*|\\w*Conv[23][Dd]\\w*|Dilation2D\\w*|LRN\\w*|BatchNorm|BatchToSpaceND|SpaceToBatchND',
    'CropAndResize|Resize\\w+|RotateWithOffset|FlipLeftRight|Transform|Draw|NonMaxSuppression\\w*|DepthToSpace|MirrorPad',
    'FFT|IFFT|ComplexAbs|Ragged\\w+|Sparse\\w+|String\\w+|StaticRegexReplace|Multinomial|Bincount|DenseBincount|Einsum',
    'TensorScatterUpdate|SearchSorted|UnsortedSegmentSum|Unique|Diag|LinSpace|Bitwise\\w+|EluGrad|Selu|Cumprod',
    'All|Any|ArgMax|ArgMin|BroadcastArgs|StridedSlice|TopK|Prod|GatherNd|ClipByValue|Prelu|LeakyRelu',
    'Ceil|Floor|Round|Sign|IsNaN|LogicalNot|LogicalOr|SquaredDifference|Expm1',
    'Acosh?|Asinh?|Atan[2h]?|Cosh|Sinh|Tan|IsFinite|IsInf|Mod|FloorDiv',
  ].join('|')})'`,
);

/** Our kernels of training. */
const TRAINING_KERNELS = /(Grad|crossEntropy|adamWStep)\w*Kernel$/;

/** A register_all_kernels.js without the imports and list entries of unused kernels. */
function withoutKernels(source, isUnused) {
  const unused = new Set();
  const imports = /^import \{ ([\w, ]+) \} from ('[^']+');\n/gm;
  const kept = source.replace(imports, (_, names, path) => {
    const used = names.split(', ').filter((name) => {
      if (isUnused(name, path)) unused.add(name);
      return !unused.has(name);
    });
    return used.length > 0 ? `import { ${used.join(', ')} } from ${path};\n` : '';
  });
  return kept.replace(/^ {4}(\w+),?\n/gm, (line, name) => (unused.has(name) ? '' : line));
}

/** Objects of tfjs-core whose members are modules. Imported from their modules, only what is used of them is kept. */
const NAMESPACES = new Map([
  ['util', 'util'],
  ['backend_util', 'backends/backend_util'],
  ['kernel_impls', 'backends/kernel_impls'],
  ['broadcast_util', 'ops/broadcast_util'],
  ['slice_util', 'ops/slice_util'],
]);

/** A file of the CPU backend or of ours with these namespaces imported from their modules. */
function withDirectImports(source) {
  const found = new Set();
  const use = (name) => {
    found.add(name);
    return `core_${name}`;
  };
  const changed = source
    .replace(/^import \{ ([^}]+) \} from '@tensorflow\/tfjs-core';$/gm, (_, names) => {
      const isDirect = (name) => NAMESPACES.has(name);
      const lines = names
        .split(', ')
        .filter(isDirect)
        .map((name) => importOf(name, name));
      const others = names.split(', ').filter((name) => !isDirect(name));
      return [...lines, `import { ${others.join(', ')} } from '@tensorflow/tfjs-core';`].join('\n');
    })
    .replace(/\btf\.(\w+_util|util)(?=\.)/g, (text, name) =>
      NAMESPACES.has(name) ? use(name) : text,
    );
  return [...found].map((name) => `${importOf(name, `core_${name}`)}\n`).join('') + changed;
}

function importOf(name, as) {
  return `import * as ${as} from '@tensorflow/tfjs-core/dist/${NAMESPACES.get(name)}';`;
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
        contents: withoutKernels(await readFile(path, 'utf8'), (_, file) =>
          UNUSED_KERNELS.test(file),
        ),
      }),
    );
    build.onLoad({ filter: /composed\/register_all_kernels\.js$/ }, async ({ path }) => ({
      contents: withoutKernels(await readFile(path, 'utf8'), (name) => TRAINING_KERNELS.test(name)),
    }));
    // tfjs draws with Alea, and generation with the default generator.
    build.onLoad({ filter: /seedrandom\/lib\/(xor\w+|tychei)\.js$/ }, () => ({ contents: '' }));
    // Not the files that package.json replaces in browsers: an onLoad would read them.
    const direct =
      /tfjs-backend-cpu\/dist\/.*\.js$|backends\/(native\/.*|simd\/core\/.*|webgpu\/tensors)\.js$/;
    build.onLoad({ filter: direct }, async ({ path }) => ({
      contents: withDirectImports(await readFile(path, 'utf8')),
    }));
  },
};
