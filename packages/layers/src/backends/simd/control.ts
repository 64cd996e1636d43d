// Addresses of the control block and of a job's arguments; see assembly/threads.ts.

/** Address of the control block: after the module's own data, before the first allocation. */
export const CONTROL = 1 << 16;
/** Words from the control block. */
export const FAILED_WORD = 196 / 4;
export const ARGUMENTS_WORD = 256 / 4;
export const ARGUMENT_COUNT = 64;
/** Words of a recorded job: kernel, units, chunk, one unused, then the arguments. */
export const JOB_ARGUMENTS = 4;
export const JOB_WORDS = JOB_ARGUMENTS + ARGUMENT_COUNT;
/** Address of the first allocation. */
export const HEAP = 2 << 16;
