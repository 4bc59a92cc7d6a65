// @tier user
export { create } from './main.js';
// @tier author
export { packageFiles, packageName, ruleName, starts, type Choices, type Start } from './package-files.js';
export { workspaceFiles, type WorkspaceChoices } from './workspace.js';
