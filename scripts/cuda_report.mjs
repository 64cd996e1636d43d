// Prints the compiler's report on the CUDA kernels, as in the table of docs/dev/performance-log.md. Needs
// nvcc.
//
//   node scripts/cuda_report.mjs [sm_90]
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';

const folder = fileURLToPath(new URL('../packages/layers/src/backends/cuda/', import.meta.url));
const card = process.argv[2] ?? 'sm_90';
const flags = ['-std=c++17', '-O3', '-cubin', `-arch=${card}`, '-Xptxas', '-v', '-o', '/dev/null'];
const { stderr, status } = spawnSync('nvcc', [...flags, 'kernels.cu'], {
  cwd: folder,
  encoding: 'utf8',
});
if (status !== 0) throw new Error(`nvcc failed:\n${stderr}`);

const kernels = stderr
  .split("Compiling entry function '")
  .slice(1)
  .map((text) => {
    const number = (pattern) => Number(text.match(pattern)?.[1] ?? 0);
    return {
      name: text.slice(0, text.indexOf("'")),
      registers: number(/Used (\d+) registers/),
      shared: number(/(\d+) bytes smem/),
      spilled: number(/(\d+) bytes spill stores/) + number(/(\d+) bytes spill loads/),
    };
  })
  .sort((a, b) => a.name.localeCompare(b.name));

console.log('| kernel | registers | static shared, bytes | spilled, bytes |');
console.log('| --- | --- | --- | --- |');
for (const { name, registers, shared, spilled } of kernels) {
  console.log(`| ${name} | ${registers} | ${shared} | ${spilled} |`);
}
