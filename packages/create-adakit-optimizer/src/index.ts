// @tier user
export { create } from './main.js';
// @tier author
export { packageFiles, packageName, ruleName, starts, type Choices, type Start } from './package-files.js';
export { workspaceKeywords, workspaceManifest, workspaceTsconfig, type WorkspaceRule } from './workspace.js';
