import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { expect } from 'chai';
import { packageEntry, packagePlaces } from '../../src/backends/installed_packages.js';
import { loadTfjsBackend } from '../../src/backends/tfjs_packages.js';
import { loadWebGpu } from '../../src/backends/webgpu/load.js';
import { BackendError } from '../../src/errors.js';

/** Resolves packages from a user's folder, not from this repository. */
describe('loadTfjsBackend and loadWebGpu', () => {
  let dir = '';
  beforeEach(async () => {
    dir = await mkdtemp(join(tmpdir(), 'rene-packages-'));
  });
  afterEach(async () => {
    await rm(dir, { recursive: true });
  });

  async function install(name: string, code: string): Promise<void> {
    const path = join(dir, 'node_modules', name, 'index.js');
    await mkdir(dirname(path), { recursive: true });
    await writeFile(path, code);
  }

  async function failure(name: 'webgl' | 'webgpu'): Promise<string> {
    const error = await (name === 'webgpu'
      ? loadWebGpu([`${dir}/`])
      : loadTfjsBackend(name, [`${dir}/`])
    ).then(
      () => undefined,
      (thrown: unknown) => thrown,
    );
    expect(error).to.be.instanceOf(BackendError);
    return error instanceof Error ? error.message : '';
  }

  it('names the package to install', async () => {
    expect(await failure('webgl')).to.match(
      /^the backend 'webgl' needs @tensorflow\/tfjs-backend-webgl: npm install @tensorflow\/tfjs-backend-webgl \(and a web page/,
    );
    expect(await failure('webgpu')).to.equal(
      "the backend 'webgpu' needs @tensorflow/tfjs-backend-webgpu and webgpu: " +
        'npm install @tensorflow/tfjs-backend-webgpu webgpu',
    );
    await install('@tensorflow/tfjs-backend-webgpu', '');
    expect(await failure('webgpu')).to.equal(
      "the backend 'webgpu' needs webgpu: npm install webgpu",
    );
  });

  it("looks for packages in the program's folder too", async () => {
    await install('only-the-program-has-it', '');
    const before = process.cwd();
    expect(packageEntry('only-the-program-has-it', packagePlaces())).to.equal(undefined);
    process.chdir(dir);
    try {
      expect(packageEntry('only-the-program-has-it', packagePlaces())).to.match(/it.index\.js$/);
    } finally {
      process.chdir(before);
    }
  });

  it('reports that an installed package is unsuitable, and why', async () => {
    await install('@tensorflow/tfjs-backend-webgl', '');
    expect(await failure('webgl')).to.match(/needs a web page: Node has no WebGL/);
  });

  it('reports that an installed package does not load, and why', async () => {
    await install('@tensorflow/tfjs-backend-webgl', 'throw new Error("no context");');
    expect(await failure('webgl')).to.match(
      /webgl is installed \(.*\) but does not load: no context/,
    );
    await install('@tensorflow/tfjs-backend-webgpu', '');
    await install('webgpu', 'throw new Error("no Vulkan");');
    expect(await failure('webgpu')).to.match(/the package webgpu \(.*\) does not load: no Vulkan/);
  });

  it('uses the npm package webgpu in Node, and reports what it lacks', async () => {
    await install(
      'webgpu',
      'exports.create = () => ({ requestAdapter: async () => null }); exports.globals = { GPUStandIn: 7 };',
    );
    await install('@tensorflow/tfjs-backend-webgpu', '');
    const navigator = Object.getOwnPropertyDescriptor(globalThis, 'navigator');
    try {
      expect(await failure('webgpu')).to.match(
        /^the backend 'webgpu' finds no GPU adapter: install the Vulkan loader and a driver \(Debian: apt-get install libvulkan1/,
      );
      expect(Reflect.get(globalThis, 'GPUStandIn')).to.equal(7);
    } finally {
      Reflect.deleteProperty(globalThis, 'GPUStandIn');
      if (navigator) Reflect.deleteProperty(Reflect.get(globalThis, 'navigator'), 'gpu');
      else Reflect.deleteProperty(globalThis, 'navigator');
    }
  });
});
