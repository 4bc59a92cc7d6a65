// The public API: what the entry points of the published packages export, read from the source text alone, so that it
// takes no type check. An entry point says who an export is for by a line comment, which holds for all exports below it:
//
//   // @tier author: writing rules
//   export { defineOptimizer } from './optimizer/define.js';

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/**
 * Tiers by tag, and the category of the reference that shows them. What they promise is in docs/api.md.
 *
 * @type {Readonly<Record<string, string>>}
 */
export const tiers = { user: 'User', author: 'Author', device: 'Device' };

export const root = fileURLToPath(new URL('../..', import.meta.url));

/**
 * What is read of a package.json.
 *
 * @typedef {{
 *   readonly name: string, readonly private?: boolean,
 *   readonly exports?: Readonly<Record<string, { readonly '@adakit/source'?: string }>>,
 * }} Manifest
 */

/** Entry points by the name that is imported; what packages give each other under `./internal` is not public. */
export function entryPoints() {
  /** @type {Map<string, string>} */
  const found = new Map();
  const folders = ['packages', 'tools'].flatMap((parent) =>
    readdirSync(join(root, parent)).map((name) => join(root, parent, name)),
  );
  for (const folder of folders) {
    const manifest = join(folder, 'package.json');
    if (!existsSync(manifest)) continue;
    /** @type {Manifest} */
    const { name, private: isPrivate, exports: list = {} } = JSON.parse(readFileSync(manifest, 'utf8'));
    if (isPrivate) continue;
    for (const [path, { '@adakit/source': source }] of Object.entries(list)) {
      if (source !== undefined && !path.startsWith('./internal')) found.set(join(name, path), resolve(folder, source));
    }
  }
  return found;
}

const entries = entryPoints();
/** @type {Map<string, ts.SourceFile>} */
const parsed = new Map();

/** @param {string} file */
function parse(file) {
  let source = parsed.get(file);
  if (source === undefined) {
    source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
    parsed.set(file, source);
  }
  return source;
}

/**
 * The tier that the comments before a statement name; the last one counts.
 *
 * @param {ts.Statement} statement
 * @param {string} text
 */
function tierBefore(statement, text) {
  const comments = ts.getLeadingCommentRanges(text, statement.pos) ?? [];
  return comments.flatMap(({ pos, end }) => /^\/\/ @tier (\w+)/.exec(text.slice(pos, end))?.[1] ?? []).at(-1);
}

const isExported = (/** @type {ts.Statement} */ statement) =>
  ts.canHaveModifiers(statement) && statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);

/**
 * Names that a declaration statement declares.
 *
 * @param {ts.Statement} statement
 */
function declared(statement) {
  const declarations = ts.isVariableStatement(statement) ? statement.declarationList.declarations : [statement];
  return declarations
    .map((declaration) => ts.getNameOfDeclaration(/** @type {ts.Declaration} */ (declaration)))
    .flatMap((name) => (name !== undefined && ts.isIdentifier(name) ? [name.text] : []));
}

/**
 * The statements of a module that declare a name which it exports, wherever they are.
 *
 * @param {string} file
 * @param {string} name
 * @returns {readonly ts.Statement[]}
 */
function declarations(file, name) {
  /** @type {ts.Statement[]} */
  const found = [];
  for (const statement of parse(file).statements) {
    if (isExported(statement) && declared(statement).includes(name)) found.push(statement);
    if (!ts.isExportDeclaration(statement) || !statement.exportClause || !ts.isNamedExports(statement.exportClause))
      continue;
    const member = statement.exportClause.elements.find((element) => element.name.text === name);
    if (member) found.push(...declarationsFrom(file, moduleOf(statement), (member.propertyName ?? member.name).text));
  }
  return found;
}

/**
 * The module that a statement exports from, if it is another one.
 *
 * @param {ts.ExportDeclaration} statement
 */
function moduleOf({ moduleSpecifier }) {
  return moduleSpecifier !== undefined && ts.isStringLiteral(moduleSpecifier) ? moduleSpecifier.text : undefined;
}

/**
 * @param {string} file
 * @param {string | undefined} module
 * @param {string} name
 */
function declarationsFrom(file, module, name) {
  if (module === undefined) return parse(file).statements.filter((statement) => declared(statement).includes(name));
  const target = module.startsWith('.') ? resolve(dirname(file), module.replace(/\.js$/, '.ts')) : entries.get(module);
  return target === undefined ? [] : declarations(target, name);
}

/** @param {ts.Statement} statement */
function isDocumented(statement) {
  return ts.getJSDocCommentsAndTags(statement).some((doc) => ts.isJSDoc(doc) && (doc.comment ?? '').length > 0);
}

/**
 * Names that a statement exports.
 *
 * @param {ts.Statement} statement
 */
function exported(statement) {
  if (!ts.isExportDeclaration(statement)) return isExported(statement) ? declared(statement) : [];
  const { exportClause } = statement;
  return exportClause && ts.isNamedExports(exportClause) ? exportClause.elements.map(({ name }) => name.text) : [];
}

/**
 * A public export; its tier is whatever the entry point says.
 *
 * @typedef {{
 *   readonly entry: string, readonly file: string, readonly name: string, readonly tier: string | undefined,
 *   readonly documented: boolean,
 * }} PublicExport
 */

/** All public exports. */
export function publicExports() {
  /** @type {PublicExport[]} */
  const found = [];
  for (const [entry, file] of entries) {
    const source = parse(file);
    /** @type {string | undefined} */
    let tier;
    for (const statement of source.statements) {
      tier = tierBefore(statement, source.text) ?? tier;
      for (const name of exported(statement)) {
        found.push({ entry, file, name, tier, documented: declarations(file, name).some(isDocumented) });
      }
    }
  }
  return found;
}
