// The driver through koffi: memory, launches, graphs and errors.
import { execFileSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import type { CudaDevice } from '../../../src/backends/cuda/cuda_device.js';
import { CudaError } from '../../../src/backends/cuda/device.js';
import { MemoryPool } from '../../../src/backends/cuda/memory_pool.js';
import { BackendError } from '../../../src/errors.js';
import { describeOnCuda, openCuda } from './both.js';

const root = fileURLToPath(new URL('../../../../../../', import.meta.url));

describe('cuda: the binaries', () => {
  it('are built from the current sources', () => {
    execFileSync(process.execPath, ['scripts/build_cuda.mjs', '--check'], { cwd: root });
  });
});

describeOnCuda('cuda: the device', () => {
  let device: CudaDevice;
  before(async () => {
    device = await openCuda();
  });
  after(() => device.dispose());

  const bytesOf = (values: Int32Array) => new Uint8Array(values.buffer);

  function read(address: number, count: number): number[] {
    const values = new Int32Array(count);
    device.download(bytesOf(values), address);
    return [...values];
  }

  it('copies to the device and back', () => {
    const [a, b] = [device.allocate(64), device.allocate(64)];
    device.upload(a, bytesOf(Int32Array.of(1, 2, 3)));
    device.copy(b, a, 12);
    expect(read(b, 3)).to.deep.equal([1, 2, 3]);
    for (const address of [a, b]) device.free(address);
  });

  it('uploads more than the staging buffer holds', () => {
    const values = Int32Array.from({ length: 5 << 20 }, (_, i) => i * 7);
    const address = device.allocate(values.byteLength);
    device.upload(address, bytesOf(values));
    const back = new Int32Array(values.length);
    device.download(bytesOf(back), address);
    expect(Buffer.compare(bytesOf(values), bytesOf(back))).to.equal(0);
    device.free(address);
  });

  it('records launches and copies, and replays them', () => {
    const [positions, copy] = [device.allocate(512), device.allocate(512)];
    device.upload(positions, bytesOf(Int32Array.of(10, 20)));
    device.beginCapture();
    device.launch('advance_positions', { grid: [1], block: 32 }, [positions], [2, 3]);
    device.copy(copy, positions, 8);
    expect(() => read(positions, 2)).to.throw(BackendError, 'recorded step');
    const graph = device.endCapture();
    expect(graph.nodes).to.equal(2);
    expect(read(positions, 2), 'nothing ran while recording').to.deep.equal([10, 20]);
    graph.launch();
    graph.launch();
    expect(read(copy, 2)).to.deep.equal([16, 26]);
    graph.dispose();
    for (const address of [positions, copy]) device.free(address);
  });

  it('launches and records the same if launches may overlap', async () => {
    const overlapping = await openCuda({ overlap: true });
    const positions = overlapping.allocate(512);
    const launch = () =>
      overlapping.launch('advance_positions', { grid: [1], block: 32 }, [positions], [2, 3]);
    overlapping.upload(positions, bytesOf(Int32Array.of(10, 20)));
    launch();
    const graph = overlapping.record(launch);
    graph.launch();
    expect(read(positions, 2)).to.deep.equal([16, 26]);
    graph.dispose();
    overlapping.free(positions);
    overlapping.dispose();
  });

  it('keeps the stream usable after a failed recording', () => {
    const fail = () => device.launch('no_such_kernel', { grid: [1], block: 32 }, [0], [0, 0]);
    expect(() => device.record(fail)).to.throw(CudaError, 'no_such_kernel');
    device.synchronize();
    expect(device.isCapturing).to.equal(false);
  });

  it('names the kernel that failed, and the reason', () => {
    const launch = (kernel: string, block: number, integers: number[]) => () =>
      device.launch(kernel, { grid: [1], block }, [0], integers);
    expect(launch('no_such_kernel', 32, [0, 0]))
      .to.throw(CudaError, 'kernel no_such_kernel')
      .with.property('code', 'CUDA_ERROR_NOT_FOUND');
    expect(launch('advance_positions', 2048, [0, 0])).to.throw(
      CudaError,
      /advance_positions.*2048/,
    );
    expect(launch('advance_positions', 32, [0, 0, 0, 0])).to.throw(BackendError, 'arguments');
  });

  it('reports the requested and the free memory', () => {
    expect(() => device.allocate(2 ** 40))
      .to.throw(CudaError, /1048576 MiB .* are free/)
      .with.property('code', 'CUDA_ERROR_OUT_OF_MEMORY');
  });

  it('refuses a device index without a GPU', async () => {
    let error: unknown;
    await openCuda({ device: 64 }).catch((found) => {
      error = found;
    });
    expect(error)
      .to.be.instanceOf(BackendError)
      .with.property('message')
      .that.matches(/below \d+, found 64/);
  });

  it('reuses blocks, except those of a recorded graph', () => {
    const pool = new MemoryPool(device);
    const first = pool.allocate(1000);
    pool.release(first);
    expect(pool.allocate(1000)).to.equal(first);
    pool.enterArena();
    const recorded = pool.allocate(1000);
    pool.release(recorded);
    expect(pool.allocate(1000), 'again within the graph').to.equal(recorded);
    pool.release(recorded);
    const giveBack = pool.leaveArena();
    const outside = pool.allocate(1000);
    expect(outside).not.to.equal(recorded);
    for (const address of [first, outside]) pool.release(address);
    giveBack();
    expect(pool.usedBytes).to.equal(0);
    pool.trim();
  });
});
