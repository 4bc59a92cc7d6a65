import * as rules from '@adakit/cli/internal';

export { rules };

export type RuleName = keyof typeof rules;
