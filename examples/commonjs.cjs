// From CommonJS: the package is made of ES modules, which import() loads.
//
//   npm run build && node examples/commonjs.cjs
async function main() {
  const { ReneLMHeadModel, Tokenizer, streamText } = await import('@rene-js/rene');
  const model = await ReneLMHeadModel.fromPretrained('rene-tiny');
  const tokenizer = await Tokenizer.fromPretrained('rene-tiny');
  for await (const piece of streamText(model, tokenizer, 'A violin is', { maxNewTokens: 12 })) {
    process.stdout.write(piece);
  }
  process.stdout.write('\n');
  model.dispose();
}

main();
