// Property tests draw the same inputs in every run, so that a change is judged by itself. Others are drawn
// with RENE_FUZZ_SEED=NUMBER, or `random`; a failing test prints the seed that it had.
import fc from 'fast-check';

const seed = process.env.RENE_FUZZ_SEED ?? '1596';
if (seed !== 'random') fc.configureGlobal({ seed: Number(seed) });
