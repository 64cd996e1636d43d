// Tests of the backend's parts that need no TensorFlow.
import { expect } from 'chai';
import { ContextOrder } from '../../../src/backends/tensorflow/context_order.js';
import { restoreRemovedUtil } from '../../../src/backends/tensorflow/load.js';
import { asNodeBackend } from '../../../src/backends/tensorflow/node_backend.js';
import { opDefinition } from '../../../src/backends/tensorflow/op_definitions.js';
import { callText, parseCall, snake } from '../../../src/backends/tensorflow/register_ops.js';
import { BackendError } from '../../../src/errors.js';

/** A device that records the driver's calls; an old one has no context events. */
function recordingDevice(hasContextEvents: boolean) {
  const calls: string[] = [];
  const call = (name: string) => {
    calls.push(name);
    return 0;
  };
  const driver = { call, try: call, has: () => hasContextEvents };
  const synchronize = () => call('cuStreamSynchronize');
  return { calls, device: { driver, context: 1n, stream: 2n, synchronize } };
}

describe('tensorflow: parts', () => {
  it('orders our stream after the context, and the context after our stream', () => {
    const { calls, device } = recordingDevice(true);
    const order = new ContextOrder(device);
    calls.length = 0;
    order.enter();
    calls.push('kernels');
    order.leave();
    expect(calls).to.deep.equal([
      ...['cuCtxSetCurrent', 'cuCtxRecordEvent', 'cuStreamWaitEvent'],
      'kernels',
      ...['cuEventRecord', 'cuCtxWaitEvent'],
    ]);
  });

  it('synchronizes with an older driver', () => {
    const { calls, device } = recordingDevice(false);
    const order = new ContextOrder(device);
    calls.length = 0;
    order.enter();
    calls.push('kernels');
    order.leave();
    expect(calls).to.deep.equal([
      ...['cuCtxSetCurrent', 'cuCtxSynchronize'],
      'kernels',
      'cuStreamSynchronize',
    ]);
  });

  it('an op’s description survives the conversion to JSON', () => {
    const description = {
      given: ['x', 'weight'],
      inPlace: true,
      attrs: { window: Number.POSITIVE_INFINITY, eps: 1e-5, weight: { shape: [2, 3] } },
    };
    expect(parseCall(callText(description))).to.deep.equal(description);
  });

  it('derives op definitions from the table of kernels', () => {
    const { inputs, ...rest } = opDefinition('AttentionMixer') ?? { inputs: [] };
    const inProj = { name: 'inProj', type: 'weight', optional: false };
    const cache = { name: 'cacheK', type: 'float', optional: true };
    expect(inputs).to.deep.include.members([inProj, cache]);
    const states = ['cacheK', 'cacheV'];
    expect(rest).to.deep.equal({ states, output: 'float', integers: 'positions' });
    expect(opDefinition('RmsNorm')?.states).to.deep.equal([]);
    expect(opDefinition('SsdScanGrad'), 'stays composed').to.equal(undefined);
    const names = ['x', 'A', 'cacheK', 'dtBias'];
    expect(names.map(snake)).to.deep.equal(['x', 'a', 'cache_k', 'dt_bias']);
  });

  it('refuses another backend', () => {
    expect(() => asNodeBackend({})).to.throw(BackendError, 'tfjs-node');
  });

  it('restores the function that Node 23 removed and tfjs-node needs', () => {
    const util: { isNullOrUndefined?: (value: unknown) => boolean } = {};
    restoreRemovedUtil(util);
    expect([null, undefined, 0].map((value) => util.isNullOrUndefined?.(value))).to.deep.equal([
      true,
      true,
      false,
    ]);
  });
});
