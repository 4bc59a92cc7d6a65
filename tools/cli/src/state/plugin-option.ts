import { Option } from 'commander';
import { repeated } from '../option-values.js';

/** `--plugin`, for commands that read states. */
export function pluginOption(): Option {
  return new Option(
    '--plugin <name>',
    'package or module of the optimizer that wrote the state, where its name does not lead to it; may be repeated',
  )
    .argParser(repeated)
    .default([], 'those that are installed');
}
