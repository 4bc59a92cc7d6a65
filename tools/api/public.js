// The public API: what the entry points of the published packages export, read from the source text alone, so that it
// takes no type check. An entry point says who an export is for by a line comment, which holds for all exports below it:
//
//   // @tier author: writing rules
//   export { defineOptimizer } from './optimizer/define.js';

import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';

/** Tiers by tag, and the category of the reference that shows them. What they promise is in docs/api.md. */
export const tiers = { user: 'User', author: 'Author', device: 'Device' };

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** Entry points by the name that is imported; what packages give each other under `./internal` is not public. */
export function entryPoints() {
  const found = new Map();
  const folders = ['packages', 'tools'].flatMap((parent) =>
    readdirSync(join(root, parent)).map((name) => join(root, parent, name)),
  );
  for (const folder of folders) {
    const manifest = join(folder, 'package.json');
    if (!existsSync(manifest)) continue;
    const { name, private: isPrivate, exports: list = {} } = JSON.parse(readFileSync(manifest, 'utf8'));
    if (isPrivate) continue;
    for (const [path, { '@adakit/source': source } = {}] of Object.entries(list)) {
      if (source !== undefined && !path.startsWith('./internal')) found.set(join(name, path), resolve(folder, source));
    }
  }
  return found;
}

const entries = entryPoints();
const parsed = new Map();

function parse(file) {
  let source = parsed.get(file);
  if (source === undefined) {
    source = ts.createSourceFile(file, readFileSync(file, 'utf8'), ts.ScriptTarget.Latest, true);
    parsed.set(file, source);
  }
  return source;
}

/** The tier that the comments before a statement name; the last one counts. */
function tierBefore(statement, text) {
  const comments = ts.getLeadingCommentRanges(text, statement.pos) ?? [];
  return comments.flatMap(({ pos, end }) => /^\/\/ @tier (\w+)/.exec(text.slice(pos, end))?.[1] ?? []).at(-1);
}

const isExported = (statement) =>
  ts.canHaveModifiers(statement) && statement.modifiers?.some(({ kind }) => kind === ts.SyntaxKind.ExportKeyword);

/** Names that a declaration statement declares. */
function declared(statement) {
  if (ts.isVariableStatement(statement)) return statement.declarationList.declarations.map(({ name }) => name.text);
  return statement.name ? [statement.name.text] : [];
}

/** The statements of a module that declare a name which it exports, wherever they are. */
function declarations(file, name) {
  const found = [];
  for (const statement of parse(file).statements) {
    if (isExported(statement) && declared(statement).includes(name)) found.push(statement);
    if (!ts.isExportDeclaration(statement) || !statement.exportClause || !ts.isNamedExports(statement.exportClause))
      continue;
    const member = statement.exportClause.elements.find((element) => element.name.text === name);
    if (member)
      found.push(...declarationsFrom(file, statement.moduleSpecifier?.text, (member.propertyName ?? member.name).text));
  }
  return found;
}

function declarationsFrom(file, module, name) {
  if (module === undefined) return parse(file).statements.filter((statement) => declared(statement).includes(name));
  const target = module.startsWith('.') ? resolve(dirname(file), module.replace(/\.js$/, '.ts')) : entries.get(module);
  return target === undefined ? [] : declarations(target, name);
}

function isDocumented(statement) {
  return ts.getJSDocCommentsAndTags(statement).some((doc) => ts.isJSDoc(doc) && (doc.comment ?? '').length > 0);
}

/** All public exports: `{ entry, file, name, tier, documented }`, tier being whatever the entry point says. */
export function publicExports() {
  const found = [];
  for (const [entry, file] of entries) {
    const source = parse(file);
    let tier;
    for (const statement of source.statements) {
      tier = tierBefore(statement, source.text) ?? tier;
      const names = ts.isExportDeclaration(statement)
        ? (statement.exportClause?.elements ?? []).map((element) => element.name.text)
        : isExported(statement)
          ? declared(statement)
          : [];
      for (const name of names) {
        found.push({ entry, file, name, tier, documented: declarations(file, name).some(isDocumented) });
      }
    }
  }
  return found;
}
