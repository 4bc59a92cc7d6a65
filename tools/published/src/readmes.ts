import { publishedPackages, readText } from './packages.js';
import { documentedInstall, firstExample, type Example } from './project.js';

/** READMEs with an example to run: of all packages but those of commands, and the repository's. */
export const readmes = [...publishedPackages().map(({ directory }) => `${directory}/README.md`), 'README.md']
  .filter((file) => !['tools/cli/README.md', 'packages/create-adakit-optimizer/README.md'].includes(file))
  .map((file) => ({ file, readme: readText(file) }));

/** The first example of each. */
export const firstExamples: readonly Example[] = readmes.map(({ file, readme }) => ({
  file,
  code: firstExample(readme),
}));

/** What all of them together tell to install. */
export const documentedInstalls: readonly string[] = [
  ...new Set(readmes.flatMap(({ readme }) => documentedInstall(readme))),
];
