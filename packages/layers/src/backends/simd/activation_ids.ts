// Activation ids of the kernels.
import { ActivationId } from '../../../assembly/gated_activation/args.js';
import type { Activation } from '../../kernels.js';

export const activationIds: Readonly<Record<Activation, ActivationId>> = {
  linear: ActivationId.Linear,
  silu: ActivationId.Silu,
  gelu: ActivationId.Gelu,
  relu2: ActivationId.Relu2,
};
