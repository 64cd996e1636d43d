// Entry of the worker for the backends simd and cpu.
import { serve } from './serve.js';

declare const self: { postMessage(message: unknown): void };

serve(self);
