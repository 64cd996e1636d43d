// Rene as any tfjs model: tensors in, tensors out. Prints the most probable next tokens.
//
//   npm run build && node examples/dist/predict.js ["The capital of" [model]]
import { ReneLMHeadModel, Tokenizer } from '@rene-js/rene';
import * as tf from '@tensorflow/tfjs-core';

const [prompt = 'The capital of', name = 'rene-tiny'] = process.argv.slice(2);

const model = await ReneLMHeadModel.fromPretrained(name);
const tokenizer = await Tokenizer.fromPretrained(name);
// What takes a tf.InferenceModel takes Rene.
const inference: tf.InferenceModel = model;
console.log(inference.inputs, inference.outputs);

const ids = tokenizer.encode(prompt);
const { values, indices } = tf.tidy(() => {
  const inputIds = tf.tensor2d(ids, [1, ids.length], 'int32');
  const logits = model.predict({ input_ids: inputIds });
  const last = tf.slice(logits, [0, ids.length - 1, 0], [1, 1, model.config.vocabSize]);
  return tf.topk(tf.softmax(tf.reshape(last, [-1])), 5);
});
const probabilities = await values.data();
(await indices.data()).forEach((id, i) => {
  console.log(
    `${(100 * (probabilities[i] ?? 0)).toFixed(1).padStart(5)} %  ${tokenizer.decode([id])}`,
  );
});
tf.dispose([values, indices]);

model.dispose();
console.log(`${tf.memory().numTensors} tensors left`);
