// A Mamba2Mixer as a tf.layers.Layer in a tf.sequential model, trained with model.fit().
// The model learns to repeat the symbol of three steps before.
//
//   npm run build && node examples/dist/sequential.js
import {
  initParameters,
  type Mamba2Config,
  Mamba2Mixer,
  type Parameter,
  Parameters,
  rowsWeight,
  useBackend,
} from '@rene-js/layers';
import * as tf from '@tensorflow/tfjs-core';
import * as tfl from '@tensorflow/tfjs-layers';

/** From (batch, length, dModel) to the same shape. */
class Mamba2Layer extends tfl.layers.Layer {
  static readonly className = 'Mamba2Layer';
  private mixer: Mamba2Mixer | undefined;

  /** @param start initial parameters, by their names in Mamba2Mixer.parameters(config) */
  constructor(
    private readonly config: Mamba2Config,
    private readonly start: ReadonlyMap<string, Parameter>,
  ) {
    super({});
  }

  /** Makes the variables, which model.fit() trains. */
  override build(): void {
    const variables = new Map<string, Parameter>();
    for (const [name, parameter] of this.start) {
      const tensor = parameter instanceof tf.Tensor ? parameter : parameter.tensor;
      const weight = this.addWeight(name, tensor.shape, 'float32', tfl.initializers.zeros());
      weight.write(tensor);
      const variable = weight.read();
      variables.set(name, parameter instanceof tf.Tensor ? variable : rowsWeight(variable));
      tensor.dispose();
    }
    this.mixer = new Mamba2Mixer(this.config, new Parameters(variables));
    this.built = true;
  }

  override call(inputs: tf.Tensor | tf.Tensor[]): tf.Tensor {
    const [x] = Array.isArray(inputs) ? inputs : [inputs];
    if (!x || !this.mixer) throw new Error('expected one input and a layer that was built');
    return this.mixer.forward(x);
  }

  override computeOutputShape(inputShape: tfl.Shape): tfl.Shape {
    return inputShape;
  }
}

await useBackend();
const [symbols, length, delay, dModel] = [6, 16, 3, 32];
const config = { dModel, headDim: 16, dState: 16 };
const start = await initParameters(Mamba2Mixer.parameters(config), 'sequential', {
  trainable: true,
});

const model = tfl.sequential({
  layers: [
    tfl.layers.embedding({ inputDim: symbols, outputDim: dModel, inputLength: length }),
    new Mamba2Layer(config, start),
    tfl.layers.dense({ units: symbols, activation: 'softmax' }),
  ],
});
model.compile({ optimizer: tf.train.adam(0.01), loss: 'categoricalCrossentropy' });

const input = tf.randomUniform([256, length], 0, symbols, 'int32', 1);
const delayed = tf.pad(tf.slice(input, [0, 0], [256, length - delay]), [
  [0, 0],
  [delay, 0],
]);
const target = tf.cast(tf.oneHot(tf.cast(delayed, 'int32'), symbols), 'float32');
await model.fit(input, target, {
  epochs: 4,
  batchSize: 32,
  verbose: 0,
  callbacks: {
    onEpochEnd: (epoch, logs) => console.log(`epoch ${epoch + 1}: loss ${logs?.loss?.toFixed(3)}`),
  },
});
