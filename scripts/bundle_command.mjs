// Tests start the command from its bundle, which `tsc -b` alone does not bring up to date.
export async function mochaGlobalSetup() {
  const { bundleCommand } = await import('../packages/cli/scripts/bundle.mjs');
  await bundleCommand();
}
