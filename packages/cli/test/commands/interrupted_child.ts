// Writes a complete file and half of another one into a folder, and waits for a signal.
import { writeFolder } from '@rene-js/rene/internal';
import { exitOnSignals } from '../../src/commands/interrupt.js';

exitOnSignals();
setInterval(() => {}, 1000);
const bytes = new TextEncoder().encode('newer');
await writeFolder(process.argv[2] ?? '', [
  { name: 'config', write: (put) => put(bytes) },
  {
    name: 'weights',
    async write(put) {
      await put(bytes);
      process.stdout.write('ready');
      await new Promise(() => {});
    },
  },
]);
