// Initial values of parameters: functions that fill an array from random numbers in [0, 1).

/** Fills a new parameter with initial values. */
export type Initializer = (values: Float32Array, random: () => number) => void;

/** All 0. */
export const zeros: Initializer = (values) => {
  values.fill(0);
};

/** All 1. */
export const ones: Initializer = (values) => {
  values.fill(1);
};

/** Uniform in [-bound, bound). */
export function uniform(bound: number): Initializer {
  return (values, random) => {
    for (let i = 0; i < values.length; i++) values[i] = (2 * random() - 1) * bound;
  };
}

/** Normal of mean 0 (Box-Muller). */
export function normal(stddev: number): Initializer {
  return (values, random) => {
    for (let i = 0; i < values.length; i += 2) {
      const radius = stddev * Math.sqrt(-2 * Math.log(1 - random()));
      const angle = 2 * Math.PI * random();
      values[i] = radius * Math.cos(angle);
      if (i + 1 < values.length) values[i + 1] = radius * Math.sin(angle);
    }
  };
}

/** Computes each value from one random number in [0, 1). */
export function each(value: (random: number) => number): Initializer {
  return (values, random) => {
    for (let i = 0; i < values.length; i++) values[i] = value(random());
  };
}

/** PyTorch's default for a linear map or convolution: uniform with bound 1 / sqrt(fanIn). */
export function kaimingUniform(fanIn: number): Initializer {
  return uniform(1 / Math.sqrt(fanIn));
}
