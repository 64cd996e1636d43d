// A separate training process, to be killed: kill_child.js DIR STEPS. Prints each step.
import { train } from '../../src/training/trainer.js';
import { smallModel, smallText } from './small_model.js';

const [dir = '', steps] = process.argv.slice(2);
const model = await smallModel('test', 'cpu');
await train(model, smallText(40), smallText(3), {
  outDir: dir,
  steps: Number(steps),
  batchSize: 2,
  rowLength: 8,
  learningRate: 1e-2,
  warmupSteps: 3,
  // Files are written at every step, so that kills interrupt writes.
  evaluateEvery: 2,
  checkpointEvery: 1,
  onStep: ({ step }) => process.stdout.write(`${step}\n`),
});
