// WGSL kernels: their memory, their arguments, and the declarations that their code starts with.
//
// A kernel's memory is named. Its code reads number i of `x` as get_x(i) and writes it by set_x(i, v);
// has_x says whether the caller gave any. Where names lie in one buffer they share a binding, because
// WebGPU refuses a buffer that a launch writes through one binding and reads through another.

/** Element type of a binding. */
export type Element = 'f32' | 'i32' | 'u32' | 'vec4<f32>' | 'vec4<u32>';

export interface Kernel {
  /** Names the code: kernels of one name, workgroup and directives are the same. */
  readonly name: string;
  readonly memory: Readonly<Record<string, Element>>;
  /** Names of the memory that the kernel writes. */
  readonly writes: readonly string[];
  /** Names of memory that may exceed a binding: the caller launches the kernel for parts that fit. */
  readonly inParts?: readonly string[];
  readonly integers: readonly string[];
  readonly floats: readonly string[];
  /** The number of invocations of a workgroup. */
  readonly workgroup: number;
  /** Directives such as `enable subgroups;`. */
  readonly directives?: string;
  readonly code: string;
}

export const elementBytes: Readonly<Record<Element, number>> = {
  f32: 4,
  i32: 4,
  u32: 4,
  'vec4<f32>': 16,
  'vec4<u32>': 16,
};

/** Where a kernel's memory is bound: the number of its binding by name; undefined for what is absent. */
export interface BindingPlan {
  readonly bindings: readonly { element: Element; isWritten: boolean }[];
  readonly indexes: Readonly<Record<string, number | undefined>>;
}

/** The WGSL of a kernel whose memory is bound by a plan. */
export function shaderOf(kernel: Kernel, { bindings, indexes }: BindingPlan): string {
  const fields = [
    ...Object.keys(kernel.memory).map((name) => `${name}_at: u32,`),
    ...kernel.integers.map((name) => `${name}: u32,`),
    ...kernel.floats.map((name) => `${name}: f32,`),
  ];
  const declarations = bindings.map(
    ({ element, isWritten }, i) =>
      `@group(0) @binding(${i + 1}) var<storage, ${isWritten ? 'read_write' : 'read'}> ` +
      `memory${i}: array<${element}>;`,
  );
  const accessors = Object.entries(kernel.memory).flatMap(([name, element]) =>
    accessorsOf(name, element, indexes[name], kernel.writes.includes(name)),
  );
  return [
    kernel.directives ?? '',
    `struct Args { ${fields.join(' ')} }`,
    '@group(0) @binding(0) var<uniform> args: Args;',
    ...declarations,
    ...accessors,
    `const WORKGROUP = ${kernel.workgroup}u;`,
    kernel.code,
  ].join('\n');
}

function accessorsOf(
  name: string,
  element: Element,
  index: number | undefined,
  isWritten: boolean,
): string[] {
  const isGiven = index !== undefined;
  const place = `memory${index}[args.${name}_at + i]`;
  return [
    `const has_${name} = ${isGiven};`,
    `fn get_${name}(i: u32) -> ${element} { return ${isGiven ? place : `${element}()`}; }`,
    ...(isWritten
      ? [`fn set_${name}(i: u32, v: ${element}) { ${isGiven ? `${place} = v;` : ''} }`]
      : []),
  ];
}

/** The values of a launch's Args, in their order. */
export function argumentWords(
  kernel: Kernel,
  places: Readonly<Record<string, number>>,
  scalars: Readonly<Record<string, number>>,
): Uint32Array {
  const { memory, integers, floats } = kernel;
  const names = Object.keys(memory);
  const words = new Uint32Array(names.length + integers.length + floats.length);
  const values = new Float32Array(words.buffer);
  names.forEach((name, i) => {
    words[i] = places[name] ?? 0;
  });
  integers.forEach((name, i) => {
    words[names.length + i] = scalars[name] ?? 0;
  });
  floats.forEach((name, i) => {
    values[names.length + integers.length + i] = scalars[name] ?? 0;
  });
  return words;
}
