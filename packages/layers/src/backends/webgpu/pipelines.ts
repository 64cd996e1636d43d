// Compute pipelines, compiled once for each kernel and way of binding its memory.
import { type BindingPlan, type Kernel, shaderOf } from './kernel.js';

interface Pipeline {
  pipeline: GPUComputePipeline;
  layout: GPUBindGroupLayout;
}

export class Pipelines {
  private readonly pipelines = new Map<string, Pipeline>();
  private readonly layouts = new Map<string, GPUBindGroupLayout>();

  constructor(private readonly device: GPUDevice) {}

  /** @param plan with a key that is the same for equal plans */
  get(kernel: Kernel, plan: BindingPlan & { key: string }): Pipeline {
    const key = `${kernel.name} ${kernel.workgroup} ${kernel.directives ?? ''}: ${plan.key}`;
    const known = this.pipelines.get(key);
    if (known) return known;
    const { device } = this;
    const layout = this.layoutOf(plan);
    const module = device.createShaderModule({ label: key, code: shaderOf(kernel, plan) });
    const pipeline = device.createComputePipeline({
      label: key,
      layout: device.createPipelineLayout({ bindGroupLayouts: [layout] }),
      compute: { module, entryPoint: 'main' },
    });
    const made = { pipeline, layout };
    this.pipelines.set(key, made);
    return made;
  }

  private layoutOf({ bindings }: BindingPlan): GPUBindGroupLayout {
    const types = bindings.map(({ isWritten }) => (isWritten ? 'storage' : 'read-only-storage'));
    const key = types.join();
    const known = this.layouts.get(key);
    if (known) return known;
    const layout = this.device.createBindGroupLayout({
      entries: (['uniform', ...types] as const).map((type, binding) => ({
        binding,
        visibility: GPUShaderStage.COMPUTE,
        buffer: { type },
      })),
    });
    this.layouts.set(key, layout);
    return layout;
  }
}
