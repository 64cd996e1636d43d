// Checks the packages as npm would publish them: exports, files and types of the packed tarballs.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const PACKAGES = ['layers', 'rene', 'cli'];
const dir = mkdtempSync(join(tmpdir(), 'rene-packages-'));
try {
  for (const name of PACKAGES) {
    const packed = run('npm', ['pack', '--json', '--pack-destination', dir, `./packages/${name}`]);
    const [{ filename }] = JSON.parse(packed);
    const tarball = join(dir, filename);
    // Suggestions are ignored: the object "browser" works in every bundler that browser-tests/ runs.
    run('npx', ['publint', 'run', '--level', 'warning', '--strict', tarball]);
    // The packages have ES modules only. Node 22 lets CommonJS require them.
    run('npx', ['attw', '--profile', 'esm-only', '--no-emoji', tarball]);
    console.log(`${filename}: checked by publint and attw`);
  }
} finally {
  rmSync(dir, { recursive: true, force: true });
}

function run(command, args) {
  const { status, stdout, stderr } = spawnSync(command, args, { encoding: 'utf8' });
  if (status === 0) return stdout.trim();
  console.error(`error: ${command} ${args.join(' ')}\n${stdout}${stderr}`);
  process.exitCode = 1;
  return '';
}
