// A separate process: prints the backend that useBackend(NAME) selects, or its error.
import { useBackend } from '../../../src/index.js';

console.log(await useBackend(process.argv[2]).catch(String));
