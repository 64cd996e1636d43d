// Mocha adds a config's spec to the files named on the command line: give it only where none is.
const names = process.argv.slice(2).some((argument) => /\.test\.js$/.test(argument));

module.exports = {
  ...(names ? {} : { spec: ['packages/*/dist/test/**/*.test.js'] }),
  timeout: 60000,
  reporter: 'dot',
  require: ['./scripts/source_maps.cjs', './scripts/fuzz_seed.mjs', './scripts/bundle_command.mjs'],
};
