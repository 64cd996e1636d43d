// In a process of its own: prints the backend that useBackend(NAME) chooses, or its error.
import { useBackend } from '../../../src/index.js';

console.log(await useBackend(process.argv[2]).catch(String));
