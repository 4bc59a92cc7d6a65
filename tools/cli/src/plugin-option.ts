import { Option } from 'commander';
import { repeated } from './option-values.js';

/** `--plugin`, for commands that read files which name optimizers. @param which is meant */
export function pluginOption(which = 'wrote the state'): Option {
  return new Option(
    '--plugin <name>',
    `package or module of the optimizer that ${which}, where its name does not lead to it; may be repeated`,
  )
    .argParser(repeated)
    .default([], 'those that are installed');
}
