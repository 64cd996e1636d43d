// Messages to a user whose machine lacks a requirement. Each runs in a separate process.
import { execFileSync } from 'node:child_process';
import { tmpdir } from 'node:os';
import { expect } from 'chai';
import { installedTensorflow } from '../../../src/backends/tensorflow/load.js';

const layers = new URL('../../../src/index.js', import.meta.url).href;
const home = new URL('../../../src/backends/tensorflow/index.js', import.meta.url).href;

/** Runs a module and returns what it prints on stdout and stderr. */
function run(script: string, env: NodeJS.ProcessEnv = {}): string {
  const prelude = `import { useBackend } from '${layers}';\n`;
  const args = ['--input-type=module', '-e', `console.warn = console.log;${prelude}${script}`];
  const options = { cwd: tmpdir(), env: { ...process.env, ...env }, encoding: 'utf8' } as const;
  return execFileSync(process.execPath, args, { ...options, stdio: ['ignore', 'pipe', 'ignore'] });
}

describe('tensorflow with a missing requirement', () => {
  it('names the package to install', function () {
    const script = `
      const { installedTensorflow } = await import('${new URL('load.js', home).href}');
      const error = await useBackend('tensorflow').catch((found) => found);
      console.log(installedTensorflow().length, error.name, error.message);`;
    const said = run(script, { NODE_PATH: '' });
    if (!said.startsWith('0 ')) this.skip(); // installed in this repository
    expect(said).to.match(/BackendError .*npm install @tensorflow\/tfjs-node-gpu/);
  });

  it('runs composed ops on a GPU without its driver, and prints the reason once', function () {
    if (installedTensorflow().length === 0) this.skip();
    this.timeout(60_000);
    // This TensorFlow has no GPU. The ops are made to believe that it has one.
    const said = run(
      `const { useTensorflowKernels } = await import('${home}');
      const { engine } = await import('${import.meta.resolve('@tensorflow/tfjs-core')}');
      await useBackend('tensorflow');
      engine().backend.isUsingGpuDevice = true;
      for (let i = 0; i < 2; i++) console.log(JSON.stringify(await useTensorflowKernels('auto')));`,
      { RENE_TENSORFLOW_KERNELS: 'composed', CUDA_VISIBLE_DEVICES: '' },
    );
    const lines = said.split('\n').filter((line) => /rene:|kernels/.test(line));
    expect(lines).to.have.length(3);
    expect(lines[0]).to.match(/^rene: the backend .tensorflow. uses composed ops.*: .+/);
    for (const line of lines.slice(1)) expect(JSON.parse(line).kernels).to.equal('composed');
  });
});
