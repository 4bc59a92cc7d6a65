// The API reference: `npm run docs` writes it to out/api. Warnings are errors, as far as public exports are concerned.

import { Application, Comment, CommentTag, Converter, normalizePath, ReflectionKind } from 'typedoc';
/** @import { Context, DeclarationReflection, JSONOutput, ProjectReflection } from 'typedoc' */
import { entryPoints, publicExports, root, tiers } from './public.js';

/**
 * Gives every export the category of its tier, and modules the names that they are imported by.
 *
 * @param {Application} app
 */
function categories(app) {
  const tierOf = new Map(publicExports().map(({ file, name, tier }) => [`${file} ${name}`, tier]));
  const nameOf = new Map([...entries].map(([name, file]) => [file, name]));
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, (/** @type {Context} */ { project }) => {
    const modules = /** @type {DeclarationReflection[]} */ (project.getReflectionsByKind(ReflectionKind.Module));
    for (const module of modules) {
      const file = module.sources?.[0].fullFileName ?? '';
      module.name = nameOf.get(file) ?? module.name;
      for (const child of module.children ?? []) {
        const tier = tierOf.get(`${file} ${child.name}`);
        if (tier === undefined) continue;
        for (const reflection of child.signatures ?? [child]) {
          reflection.comment ??= new Comment();
          reflection.comment.blockTags.push(new CommentTag('@category', [{ kind: 'text', text: tiers[tier] }]));
        }
      }
    }
  });
}

/**
 * Types that signatures name and nobody has to, by package: what TypeScript computes types with, and what only this project
 * makes. TypeDoc looks for such types in one package at a time, so that the search is here.
 */
const ownTypes = new Set(
  Object.entries({
    '@adakit/cli': [
      // shown where its fields are inherited
      'PlotTitle',
    ],
    '@adakit/core': [
      // type parameters and what follows from them
      ...['ExpressionNode', 'ExpressionNodeReference', 'Form', 'Join', 'Side', 'TypedArrays'],
      ...['Options', 'OptimizerFactory.hyperparameters', 'RequiredName', 'ValueOf'],
      // shown where their members are inherited
      ...['MadeSchedule', 'Symbolic', 'TreeNode'],
      // a run on the inside, which plans and phases hand on
      ...['LateChecks', 'PhasedRun', 'Snapshot', 'Steps', 'Training', 'Work'],
    ],
    '@adakit/onnx': [
      // arguments of constructors that are not called from outside
      ...['Equalities', 'Term'],
      // what types are inferred from
      ...['CODES', 'ROLES', 'input', 'output', 'tensor'],
    ],
    '@adakit/runner-onnx': [
      // what a type is inferred from
      'CODES',
      // shown where their fields are inherited or used
      ...['Finding', 'RuntimeInfo', 'Verdict'],
    ],
    '@adakit/runner-tfjs': [
      // results that are handed on
      ...['Computed', 'NamedTensor'],
    ],
    '@adakit/state': [
      // arguments of constructors that are not called from outside
      ...['Header', 'Place', 'ShardIndex', 'TensorReader'],
      // what MappingHint says in its own fields
      'Rearrangement',
    ],
    '@adakit/testing': [
      // what types are inferred from
      ...['schema', 'trajectorySchema'],
    ],
  }).flatMap(([name, types]) => types.map((type) => `${name} ${type}`)),
);

/** @param {Application} app */
function notExported(app) {
  app.on(Application.EVENT_VALIDATE_PROJECT, (/** @type {ProjectReflection} */ project) => {
    /** @type {Set<string>} */
    const missing = new Set();
    const unused = new Set(ownTypes);
    JSON.stringify(
      app.serializer.projectToObject(project, normalizePath(root)),
      (_, /** @type {JSONOutput.SomeType | undefined} */ value) => {
        if (value?.type !== 'reference' || typeof value.target !== 'object') return value;
        const { packageName, packagePath, qualifiedName } = value.target;
        if (!packages.has(packageName) || value.refersToTypeParameter) return value;
        const type = `${packageName} ${qualifiedName}`;
        unused.delete(type);
        if (!ownTypes.has(type)) {
          missing.add(`${packageName}/${packagePath}: ${qualifiedName} is part of the API and not exported`);
        }
        return value;
      },
    );
    for (const message of missing) app.logger.validationWarning(message);
    for (const type of unused) app.logger.validationWarning(`ownTypes: no signature names ${type}; remove it`);
  });
}

const entries = entryPoints();
const packages = new Set([...entries.keys()].map((name) => name.split('/').slice(0, 2).join('/')));

/** @type {import('typedoc').TypeDocOptions} */
export default {
  name: 'adakit',
  entryPoints: [...entries.values()],
  basePath: root,
  tsconfig: `${root}tools/api/tsconfig.json`,
  // Types are checked by `npm run typecheck`.
  skipErrorChecking: true,
  readme: `${root}docs/api.md`,
  out: `${root}out/api`,
  plugin: [categories, notExported],
  excludePrivate: true,
  excludeInternal: true,
  githubPages: false,
  disableGit: true,
  sourceLinkTemplate: 'https://github.com/adakit/adakit/blob/main/{path}#L{line}',
  categorizeByGroup: false,
  categoryOrder: Object.values(tiers),
  navigation: { includeCategories: true, includeGroups: false },
  packagesRequiringDocumentation: [...packages],
  // Functions are left to tools/api/check.js: here they would include fields that hold one.
  requiredToBeDocumented: ['Variable', 'Class', 'Interface', 'TypeAlias'],
  validation: { invalidLink: true, invalidPath: true, rewrittenLink: true, notDocumented: true },
  treatWarningsAsErrors: true,
};
