// @tier user
export { PluginError, type PluginErrorCode } from './error.js';
export { installedOptimizers } from './installed.js';
export { installHint, loadOptimizer, withPackage, type LoadedOptimizer, type LoadOptions } from './load.js';
// @tier author
export { isPluginName, isRuleName, type OptimizerManifest, type PluginPackage } from './manifest.js';
export { loadPlugin, pluginIn, type OptimizerPlugin } from './load.js';
