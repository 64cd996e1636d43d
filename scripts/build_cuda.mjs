// Builds the CUDA kernels: a fatbin for GPUs, and a library that emulates them on this machine.
//
//   node scripts/build_cuda.mjs            builds what changed; needs nvcc 13 and g++
//   node scripts/build_cuda.mjs --check    checks that the binaries are built from the current sources
//   node scripts/build_cuda.mjs --sanitize FILE    builds only the emulation, with AddressSanitizer
//
// The binaries are committed, so that users need no compiler. manifest.json has the SHA-256 of the sources
// and flags of each binary.
import { execFileSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { brotliCompressSync, constants } from 'node:zlib';

const folder = new URL('../packages/layers/src/backends/cuda/', import.meta.url);
const binaries = new URL('binaries/', folder);
const manifestFile = new URL('manifest.json', binaries);

/** GPUs with machine code. Later ones compile the PTX. */
const cards = ['80', '89', '90', '100'];

const host = [
  '-std=c++17 -O2 -fPIC -shared -fvisibility=hidden -fno-exceptions -fno-rtti',
  '-static-libstdc++ -static-libgcc -s -Wall -Wno-unknown-pragmas -Wno-unused-function',
].flatMap((flags) => flags.split(' '));

const targets = {
  'kernels.fatbin.br': {
    compiler: 'nvcc',
    flags: [
      '-std=c++17',
      '-O3',
      '-fatbin',
      ...cards.map((card) => `-gencode=arch=compute_${card},code=sm_${card}`),
      '-gencode=arch=compute_80,code=compute_80',
      '--no-compress', // brotli compresses better, and drivers of any version can read the result
      '--threads=0',
    ],
    inputs: ['kernels.cu'],
    sources: sourcesIn('', /\.(cu|h)$/),
  },
  'emulated-linux-x64.so': {
    compiler: 'g++',
    flags: host,
    inputs: ['-x', 'c++', 'kernels.cu', 'emulation/emulation.cc', 'emulation/driver.cc'],
    sources: [...sourcesIn('', /\.(cu|h)$/), ...sourcesIn('emulation/', /\.(cc|h)$/)],
  },
};

function sourcesIn(directory, pattern) {
  return readdirSync(new URL(directory || '.', folder))
    .filter((name) => pattern.test(name))
    .sort()
    .map((name) => directory + name);
}

/** SHA-256 of a binary's sources and flags. */
function digest({ compiler, flags, inputs, sources }) {
  const hash = createHash('sha256');
  hash.update(JSON.stringify([compiler, flags, inputs]));
  for (const name of sources) {
    hash.update(`\0${name}\0`);
    hash.update(readFileSync(new URL(name, folder)));
  }
  return hash.digest('hex');
}

function fileDigest(name) {
  return createHash('sha256')
    .update(readFileSync(new URL(name, binaries)))
    .digest('hex');
}

function compile({ compiler, flags, inputs }, output) {
  execFileSync(compiler, [...flags, ...inputs, '-o', output], { cwd: folder, stdio: 'inherit' });
}

function compressed(bytes) {
  const params = {
    [constants.BROTLI_PARAM_LGWIN]: 24,
    [constants.BROTLI_PARAM_SIZE_HINT]: bytes.length,
  };
  return brotliCompressSync(bytes, { params });
}

const manifest = existsSync(manifestFile) ? JSON.parse(readFileSync(manifestFile, 'utf8')) : {};
const isCurrent = (name, target) =>
  manifest[name]?.sources === digest(target) &&
  existsSync(new URL(name, binaries)) &&
  manifest[name].binary === fileDigest(name);

const [mode, file] = process.argv.slice(2);
if (mode === '--check') {
  const stale = Object.entries(targets).filter(([name, target]) => !isCurrent(name, target));
  for (const [name] of stale) console.error(`${name} is not made of these sources`);
  process.exitCode = stale.length > 0 ? 1 : 0;
} else if (mode === '--sanitize') {
  const target = targets['emulated-linux-x64.so'];
  const flags = target.flags.filter((flag) => !['-s', '-static-libgcc'].includes(flag));
  compile({ ...target, flags: [...flags, '-g', '-O1', '-fsanitize=address'] }, file);
} else {
  for (const [name, target] of Object.entries(targets)) {
    if (isCurrent(name, target)) continue;
    console.log(`${name}: ${target.compiler}`);
    const output = new URL(name, binaries);
    const temporary = new URL(`${name}.part`, binaries);
    compile(target, temporary.pathname);
    if (name.endsWith('.br')) writeFileSync(temporary, compressed(readFileSync(temporary)));
    renameSync(temporary, output);
    manifest[name] = { sources: digest(target), binary: fileDigest(name) };
    const text = new URL('manifest.json.part', binaries);
    writeFileSync(text, `${JSON.stringify(manifest, null, 2)}\n`);
    renameSync(text, manifestFile);
  }
}
