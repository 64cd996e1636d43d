// The launch of rotary positions.
import { RotaryArg } from '../../../assembly/attention/args.js';
import { KernelId } from '../../../assembly/kernel_ids.js';
import type { RotaryCall } from '../native/calls.js';
import { ArgumentLayout } from './arguments.js';
import type { Runtime } from './runtime.js';

const rotaryArguments = new ArgumentLayout(RotaryArg);

export function rotate(runtime: Runtime, call: RotaryCall): void {
  rotaryArguments.write(runtime, call);
  // A sine costs as much as some twenty products.
  const cost = call.half * (2 * call.heads + 40);
  const scratch = 2 * call.half * 4;
  runtime.run(KernelId.Rotary, call.batch * call.length, runtime.chunk(cost), scratch);
}
