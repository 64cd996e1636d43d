// Registers our ops with TensorFlow, and their kernels for the current device.
import type * as tf from '@tensorflow/tfjs-core';
import { BackendError } from '../../errors.js';
import type { CudaOps } from '../cuda/ops.js';
import type { NativeTensors } from '../native/kernel.js';
import type { TensorflowApi } from './c_api.js';
import { ContextOrder } from './context_order.js';
import { type CallDescription, OpCall, type TensorflowRuntime } from './op_call.js';
import type { OpDefinition, OpInput } from './op_definitions.js';

/** One of our ops: its definition in TensorFlow, and the function that runs it. */
export interface TensorflowOp extends OpDefinition {
  /** Its name in TensorFlow. */
  readonly name: string;
  run(
    inputs: tf.NamedTensorInfoMap,
    attrs: object,
    tensors: NativeTensors<CudaOps>,
  ): tf.TensorInfo | tf.TensorInfo[];
}

/** The error of the kernel that ran last. TensorFlow passes on the message only. */
export const failure: { error: unknown } = { error: undefined };

/**
 * @throws BackendError if another copy of this package or another thread has registered the ops: TensorFlow
 *   has one list of ops per process, and they are bound to one thread
 */
export function registerOps(
  ops: readonly TensorflowOp[],
  runtime: TensorflowRuntime,
  device: 'CPU' | 'GPU',
): void {
  const { api } = runtime;
  const [first] = ops;
  if (first && api.hasKernels(first.name)) {
    throw new BackendError(
      'the TensorFlow ops are registered already in this process: only one thread and one copy of ' +
        '@rene-js/layers can use them',
    );
  }
  const order = new ContextOrder(runtime.device);
  for (const op of ops) register(api, op, runtime, order, device);
}

function register(
  api: TensorflowApi,
  op: TensorflowOp,
  runtime: TensorflowRuntime,
  order: ContextOrder,
  device: 'CPU' | 'GPU',
): void {
  const host = op.integers ? [snake(op.integers)] : [];
  api.registerOp(
    op.name,
    [...op.inputs.map(inputDeclaration), ...host.map((name) => `${name}: ${name}_count * int32`)],
    [`outputs: output_count * ${op.output}`],
    [
      'call: string',
      'output_count: int >= 0',
      ...op.inputs.flatMap(attrDeclarations),
      ...host.map((name) => `${name}_count: int >= 0`),
    ],
  );
  const descriptions: CallDescription[] = [];
  api.registerKernel(op.name, device, host, {
    create(construction) {
      try {
        return descriptions.push(parseCall(api.stringAttr(construction, 'call')));
      } catch (error) {
        api.failConstruction(construction, messageOf(error));
        return 0;
      }
    },
    compute(self, context) {
      const description = descriptions[self - 1];
      if (!description) return api.fail(context, `${op.name}: no such kernel`);
      const call = new OpCall(runtime, context, description);
      runtime.call = call;
      try {
        call.open();
        const attrs = op.integers
          ? { ...description.attrs, [op.integers]: call.integers() }
          : description.attrs;
        order.enter();
        try {
          const outputs = op.run(call.inputs, attrs, call);
          call.setOutputs(Array.isArray(outputs) ? outputs : [outputs]);
        } finally {
          order.leave();
        }
      } catch (error) {
        failure.error = error;
        api.fail(context, `${op.name}: ${messageOf(error)}`);
      } finally {
        call.close();
        runtime.call = undefined;
      }
    },
  });
}

function inputDeclaration({ name, type, optional }: OpInput): string {
  const argument = snake(name);
  const typed = type === 'weight' ? `${argument}_type` : type;
  return optional ? `${argument}: ${argument}_count * ${typed}` : `${argument}: ${typed}`;
}

function attrDeclarations({ name, type, optional }: OpInput): string[] {
  const argument = snake(name);
  return [
    ...(type === 'weight' ? [`${argument}_type: {float, int32}`] : []),
    ...(optional ? [`${argument}_count: int >= 0`] : []),
  ];
}

/** TensorFlow's spelling of our names: snake case. */
export function snake(name: string): string {
  return name.replace(/[A-Z]/g, (letter, at: number) => (at > 0 ? '_' : '') + letter.toLowerCase());
}

/** The description as JSON, with Infinity as a string. */
export function callText(description: CallDescription): string {
  return JSON.stringify(description, (_, value: unknown) =>
    value === Number.POSITIVE_INFINITY ? 'Infinity' : value,
  );
}

/** Inverse of callText. */
export function parseCall(text: string): CallDescription {
  return JSON.parse(text, (_, value: unknown) =>
    value === 'Infinity' ? Number.POSITIVE_INFINITY : value,
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
