// Shared by the tests of several packages: models, reference values, a fake hub.
export * from './backends.js';
export * from './child_env.js';
export * from './cuda.js';
export * from './fake_hub.js';
export * from './files.js';
export * from './fixtures.js';
export * from './golden_folder.js';
export * from './models.js';
export * from './numbers.js';
export * from './reference_model.js';
export * from './run_rene.js';
export * from './tiny_tokenizers.js';
export * from './webgpu.js';
export * from './webgpu_device.js';
