// Before a package is packed the links of its README become absolute, for npm's page has no files beside it; afterwards
// the README is as it was. Run in the package's folder: `prepack` and `postpack` of every package do.
//
//   node ../../tools/release/readme-links.js absolute
//   node ../../tools/release/readme-links.js restore

import { existsSync, mkdirSync, readFileSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join, posix, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../..', import.meta.url));
const site = 'https://github.com/adakit/adakit';
const directory = relative(root, process.cwd()).split(sep).join('/');
const readme = join(process.cwd(), 'README.md');
// Outside of the package, and not in git.
const kept = join(root, 'node_modules/.cache/readmes', directory, 'README.md');

/**
 * Where a link of the README leads to on the project's site. @throws Error for a file that is not there
 *
 * @param {string} link
 */
function absolute(link) {
  const [, path = '', anchor = ''] = /^([^#]*)(.*)$/.exec(link) ?? [];
  const place = posix.join(directory, path || 'README.md');
  const file = resolve(root, place);
  if (!existsSync(file)) throw new Error(`${directory}/README.md links to ${link}, which is not there`);
  return `${site}/${statSync(file).isDirectory() ? 'tree' : 'blob'}/main/${place}${anchor}`;
}

const restore = () => {
  if (existsSync(kept)) renameSync(kept, readme);
};

const [what] = process.argv.slice(2);
// What a pack that was killed has left.
restore();
if (what === 'absolute') {
  const text = readFileSync(readme, 'utf8');
  // Code is left as it is: a link there is an example.
  const linked = text
    .split(/(^```[^]*?^```$)/m)
    .map((part, i) =>
      i % 2 === 1
        ? part
        : part.replace(/\]\((?![a-z]+:)([^)\s]+)\)/g, (_, /** @type {string} */ link) => `](${absolute(link)})`),
    )
    .join('');
  mkdirSync(dirname(kept), { recursive: true });
  writeFileSync(kept, text);
  writeFileSync(readme, linked);
} else if (what !== 'restore') {
  throw new Error(`readme-links.js absolute|restore, got ${what ?? 'nothing'}`);
}
