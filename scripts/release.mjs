// Prepares a release: checks, versions, changelog, and a dry run of npm publish.
//
//   npm run release -- 0.2.0             publishes nothing
//   npm run release -- 0.2.0 --publish   commits, tags and publishes
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';

const PACKAGES = ['layers', 'rene', 'cli'];
const [version, ...flags] = process.argv.slice(2);
const publishes = flags.includes('--publish');

if (!/^\d+\.\d+\.\d+(-[\w.]+)?$/.test(version ?? '')) {
  fail('give the version to release: npm run release -- 0.2.0 [--publish]');
}
if (output('git', ['status', '--porcelain']) !== '') {
  fail('there are uncommitted changes: commit or stash them first');
}

const changelog = readFileSync('CHANGELOG.md', 'utf8');
const unreleased = /## Unreleased\n([\s\S]*?)(?=\n## |$)/.exec(changelog)?.[1]?.trim();
if (!unreleased) fail('CHANGELOG.md: nothing under "Unreleased"');

run('npm', ['ci']);
run('npm', ['run', 'lint']);
run('npm', ['test']);

for (const name of PACKAGES) setVersion(`packages/${name}/package.json`);
run('npm', ['install', '--package-lock-only', '--ignore-scripts']);
const today = new Date().toISOString().slice(0, 10);
writeFileSync(
  'CHANGELOG.md',
  changelog.replace('## Unreleased\n', `## Unreleased\n\n## ${version} - ${today}\n`),
);
run('npm', ['run', 'check:packages']);
for (const name of PACKAGES)
  run('npm', ['publish', '--dry-run', '--workspace', `packages/${name}`]);

if (publishes) {
  run('git', ['commit', '-am', `Release ${version}`]);
  run('git', ['tag', `v${version}`]);
  for (const name of PACKAGES) {
    run('npm', ['publish', '--access', 'public', '--workspace', `packages/${name}`]);
  }
  console.log(`published ${version}; push it: git push --follow-tags`);
} else {
  run('git', ['checkout', '--', 'CHANGELOG.md', 'package-lock.json', 'packages']);
  console.log(`${version} is ready; add --publish to release it`);
}

/** Sets the version of a package, and of our packages among its dependencies. */
function setVersion(path) {
  const contents = JSON.parse(readFileSync(path, 'utf8'));
  contents.version = version;
  for (const name of PACKAGES) {
    if (contents.dependencies?.[`@rene-js/${name}`]) {
      contents.dependencies[`@rene-js/${name}`] = version;
    }
  }
  writeFileSync(path, `${JSON.stringify(contents, null, 2)}\n`);
}

function run(command, args) {
  console.log(`> ${command} ${args.join(' ')}`);
  execFileSync(command, args, { stdio: 'inherit' });
}

function output(command, args) {
  return execFileSync(command, args, { encoding: 'utf8' }).trim();
}

function fail(message) {
  console.error(`error: ${message}`);
  process.exit(1);
}
