import fc from 'fast-check';

/**
 * Properties are tried on the same random cases in every run, so that a run judges what was changed and not its luck.
 * `ADAKIT_SEED=random` (`npm run soak:properties`) draws others; a number draws those of that seed again.
 */
const { ADAKIT_SEED = '1' } = process.env;
if (ADAKIT_SEED !== 'random') fc.configureGlobal({ seed: Number(ADAKIT_SEED) });
