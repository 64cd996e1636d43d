// Entry of the worker for all backends, webgpu among them.
import { registerWebGpuBackend } from '@rene-js/layers/webgpu';
import { serve } from './serve.js';

declare const self: { postMessage(message: unknown): void };

registerWebGpuBackend();
serve(self);
