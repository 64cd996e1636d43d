// Property tests use a fixed seed, so that a failure is due to the change under test. RENE_FUZZ_SEED=NUMBER
// or `random` selects another seed; a failing test prints its seed.
import fc from 'fast-check';

const seed = process.env.RENE_FUZZ_SEED ?? '1596';
if (seed !== 'random') fc.configureGlobal({ seed: Number(seed) });
