// Every public export says who it is for and what it is: `node tools/api/check.js`, part of `npm run check`.

import { relative } from 'node:path';
import { publicExports, root, tiers } from './public.js';

const known = Object.keys(tiers);
const problems = publicExports().flatMap(({ file, name, tier, documented }) => [
  ...(tier !== undefined && known.includes(tier)
    ? []
    : [
        `${relative(root, file)}: ${name} has ${tier ? `the unknown tier "${tier}"` : 'no tier'}; write "// @tier ${known.join('|')}" above its export`,
      ]),
  ...(documented
    ? []
    : [`${relative(root, file)}: ${name} has no documentation; write a doc comment where it is declared`]),
]);
for (const problem of problems) console.error(problem);
if (problems.length > 0) process.exitCode = 1;
