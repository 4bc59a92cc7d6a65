// What Node.js loads of a package: one file for each export that has a "node" condition, and one for what they share.
// Node.js takes a millisecond or more for every file, of which some packages have hundreds; bundlers take the files of dist,
// and leave out what nobody uses.
//
//   node tools/release/bundle.js [FOLDER...]     default: all packages

import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { rolldown } from 'rolldown';

const root = fileURLToPath(new URL('../..', import.meta.url));
const bundles = './dist/bundle/';

/**
 * The files of a package that are bundled, by the names of their bundles.
 *
 * @param {string} folder
 * @returns {Record<string, string>}
 */
function entriesOf(folder) {
  const { exports = {} } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
  return Object.fromEntries(
    Object.values(exports)
      .filter(({ node }) => node?.startsWith(bundles))
      .map(({ node, default: file }) => [node.slice(bundles.length, -'.js'.length), join(folder, file)]),
  );
}

/** Reads files with the maps beside them, so that those of the bundles lead to the TypeScript sources. */
const withMaps = {
  name: 'with-maps',
  /** @param {string} file */
  load: (file) => ({ code: readFileSync(file, 'utf8'), map: readFileSync(`${file}.map`, 'utf8') }),
};

/** @param {string} folder */
async function bundle(folder) {
  const input = entriesOf(folder);
  if (Object.keys(input).length === 0) return;
  const build = await rolldown({
    input,
    platform: 'node',
    external: (id) => !id.startsWith('.') && !id.startsWith(folder),
    plugins: [withMaps],
  });
  const { output } = await build.generate({
    dir: join(folder, bundles),
    // Types are in dist, and what was written beside the code in src.
    comments: false,
    chunkFileNames: '[name].js',
    minifyInternalExports: false,
    sourcemap: true,
    sourcemapExcludeSources: true,
  });
  await build.close();
  update(join(folder, bundles), new Map(output.map((file) => [file.fileName, textOf(file)])));
}

/** @param {import('rolldown').OutputChunk | import('rolldown').OutputAsset} file what is no code is a map */
function textOf(file) {
  return file.type === 'chunk' ? file.code : String(file.source);
}

/**
 * Makes a folder's files those that are given. Those that are so already are not touched: something may be loading them.
 *
 * @param {string} folder
 * @param {Map<string, string>} files by their paths in it
 */
function update(folder, files) {
  mkdirSync(folder, { recursive: true });
  const there = readdirSync(folder, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
  const paths = there.map(({ parentPath, name }) => join(parentPath, name));
  for (const path of paths) if (!files.has(relative(folder, path).split(sep).join('/'))) rmSync(path);
  for (const [name, text] of files) {
    const path = join(folder, name);
    if (paths.includes(path) && readFileSync(path, 'utf8') === text) continue;
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
}

const given = process.argv.slice(2).map((folder) => join(process.cwd(), folder));
const all = readdirSync(join(root, 'packages')).map((name) => join(root, 'packages', name));
for (const folder of given.length > 0 ? given : all) await bundle(folder);
