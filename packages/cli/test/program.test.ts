import { runRene } from '@rene-js/testing';
import { expect } from 'chai';

/** Prints at exit how many files of TensorFlow.js the process has loaded. */
const count = `
  import { createRequire } from 'node:module';
  const { cache } = createRequire('/');
  const isTfjs = (path) => path.includes('@tensorflow');
  process.on('exit', () => console.error('tfjs files: ' + Object.keys(cache).filter(isTfjs).length));
`;

describe('the program rene', () => {
  const cases: [string[], boolean][] = [
    [['--version'], false],
    [['--help'], false],
    [['help', 'train'], false],
    [['generat'], false],
    [['eval', '--help'], false],
    [['generate', 'x', '-t', 'warm'], false],
    [['serve', '--port', 'x'], false],
    [['info', '-m', './nowhere'], true],
  ];
  for (const [args, loads] of cases) {
    it(`loads TensorFlow.js only if needed: rene ${args.join(' ')}`, async () => {
      const NODE_OPTIONS = `--import=data:text/javascript,${encodeURIComponent(count)}`;
      const { stderr } = await runRene(args, { env: { NODE_OPTIONS } });
      const [, files] = /tfjs files: (\d+)/.exec(stderr) ?? [];
      expect(Number(files) > 0, stderr).to.equal(loads);
    });
  }
});
