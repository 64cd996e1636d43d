// Entry of the command `rene`.
import { watchOutput } from './commands/output.js';
import { runProgram } from './program.js';

watchOutput();
await runProgram(process.argv.slice(2));
