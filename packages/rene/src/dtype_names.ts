// Names of weight formats: ours, and aliases of PyTorch, transformers(.js), safetensors and MLX.
import type { StoredDType, WeightFormat } from '@rene-js/layers';
import { InvalidArgumentError } from '@rene-js/layers/errors';

/** Every accepted name, in lower case, with its format. */
const FORMATS = {
  f32: 'f32',
  fp32: 'f32',
  float32: 'f32',
  float: 'f32',
  'torch.float32': 'f32',
  bf16: 'bf16',
  bfloat16: 'bf16',
  'torch.bfloat16': 'bf16',
  f16: 'f16',
  fp16: 'f16',
  float16: 'f16',
  half: 'f16',
  'torch.float16': 'f16',
  int8: 'int8',
  q8: 'int8',
  '8bit': 'int8',
  int4: 'int4',
  q4: 'int4',
  '4bit': 'int4',
} as const satisfies Record<string, WeightFormat>;

/** A weight format by its own name or an alias: 'bf16' and 'bfloat16', 'int4' and 'q4'. */
export type DTypeName = keyof typeof FORMATS | Uppercase<WeightFormat>;

/** The formats by their own names. */
export const WEIGHT_FORMATS = ['f32', 'bf16', 'f16', 'int8', 'int4'] as const;

/** The weight format of a file's dtype. */
export const STORED_DTYPES = { f32: 'F32', bf16: 'BF16', f16: 'F16' } as const satisfies Record<
  string,
  StoredDType
>;

/**
 * The weight format of a name, in any case.
 *
 * @param argument names the argument in the error
 * @throws InvalidArgumentError for other values
 */
export function weightFormat(name: unknown, argument = 'dtype'): WeightFormat {
  const key = typeof name === 'string' ? name.toLowerCase() : '';
  if (isName(key)) return FORMATS[key];
  const found = typeof name === 'string' ? `'${name}'` : String(name);
  throw new InvalidArgumentError(
    argument,
    `one of ${WEIGHT_FORMATS.join(', ')}, or another library's name for one, such as float16 or q4`,
    found,
  );
}

/** Like weightFormat, but also accepts 'auto'. */
export function weightFormatOrAuto(name: unknown, argument = 'dtype'): WeightFormat | 'auto' {
  if (typeof name === 'string' && name.toLowerCase() === 'auto') return 'auto';
  return weightFormat(name, argument);
}

function isName(name: string): name is keyof typeof FORMATS {
  return Object.hasOwn(FORMATS, name);
}
