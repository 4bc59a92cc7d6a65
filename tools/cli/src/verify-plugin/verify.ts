import assert from 'node:assert/strict';
import { existsSync, readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import {
  isPluginName,
  loadOptimizer,
  loadPlugin,
  pluginIn,
  type OptimizerPlugin,
  type PluginPackage,
} from '@adakit/plugins';
import {
  hostDevices,
  installedDevices,
  optimizerChecks,
  ruleHash,
  tryDevices,
  type Check,
  type DeviceOffer,
  type TriedDevice,
} from '@adakit/testing';

/** What came of a check. */
export interface CheckResult {
  readonly name: string;
  readonly ok: boolean;
  /** What does not hold. */
  readonly message?: string;
}

/** What is known of a plugin after all checks. */
export interface PluginReport {
  readonly package: string;
  readonly version: string;
  /** Of the package: its name, what package.json says. */
  readonly checks: readonly CheckResult[];
  readonly optimizers: readonly {
    readonly name: string;
    /** By which saved states know the rule. */
    readonly hash: string;
    readonly checks: readonly CheckResult[];
  }[];
  /** Which devices the optimizers were tried on, and why not on others. */
  readonly devices: readonly TriedDevice[];
  readonly passed: number;
  readonly failed: number;
  /** For https://shields.io/badges/endpoint-badge. */
  readonly badge: {
    readonly schemaVersion: 1;
    readonly label: string;
    readonly message: string;
    readonly color: string;
  };
}

/**
 * Runs all checks of the conformance kit on a plugin.
 *
 * @param place the folder of a package, or the name of one that is installed
 * @param offers devices beside those of the host. Default: those of the runtimes that the package finds, or this command
 * @param onCheck told which check comes next, in words after "it"
 * @throws PluginError for a package that is not there or cannot be loaded
 */
export async function verifyPlugin(
  place: string,
  offers?: readonly DeviceOffer[],
  onCheck?: (name: string) => void,
): Promise<PluginReport> {
  const found = existsSync(join(place, 'package.json'))
    ? pluginIn(resolve(place))
    : (await loadOptimizer(place)).package;
  if (found === undefined) throw new Error(`${place} is a module, not a package`);
  const names = Object.keys(found.optimizers);
  const checks = await results(packageChecks(found), onCheck);
  const { available, tried } = await tryDevices(offers ?? installedDevices({ folder: found.folder }));
  const devices = [...hostDevices.map(({ name }) => ({ name })), ...tried];
  const optimizers: PluginReport['optimizers'][number][] = [];
  for (const name of names) {
    const { plugin, manifest } = await loadPlugin(found, name);
    const required = requiredOptions(plugin, manifest.settings);
    const references = (manifest.references ?? []).map((file) => join(found.folder, file)).filter(existsSync);
    optimizers.push({
      name: plugin.optimizerName,
      hash: ruleHash(plugin.load(required)),
      checks: await results(
        [
          ...manifestChecks(found, name, plugin),
          ...optimizerChecks(plugin, { required, references, devices: available }),
        ],
        onCheck,
      ),
    });
  }
  const all = [checks, ...optimizers.map((each) => each.checks)].flat();
  const failed = all.filter(({ ok }) => !ok).length;
  const passed = all.length - failed;
  return {
    package: found.name,
    version: found.version,
    checks,
    optimizers,
    devices,
    passed,
    failed,
    badge: {
      schemaVersion: 1,
      label: 'adakit',
      message: `${failed === 0 ? `${passed} checks` : `${failed} of ${all.length} checks fail`} on ${runtimes(available)}`,
      color: failed === 0 ? 'brightgreen' : 'red',
    },
  };
}

/** What a badge has room for: which runtimes, whichever way they work. */
const runtimes = (available: readonly DeviceOffer[]): string =>
  [...new Set(['js', 'wasm', ...available.map(({ name }) => name.split(' ', 1)[0])])].join(', ');

/** What has to be given: from the recommended settings, else a rate that any rule survives. */
function requiredOptions({ hyperparameters }: OptimizerPlugin, settings = {}): Record<string, number> {
  const recommended = Object.assign({ lr: 0.01 }, ...Object.values(settings)) as Readonly<Record<string, number>>;
  const required = Object.keys(hyperparameters).filter((name) => hyperparameters[name].default === undefined);
  return Object.fromEntries(required.map((name) => [name, recommended[name] ?? 0.01]));
}

function packageChecks({ name, folder, optimizers }: PluginPackage): Check[] {
  const { keywords, license, repository, adakit, dependencies, peerDependencies } = JSON.parse(
    readFileSync(join(folder, 'package.json'), 'utf8'),
  ) as Readonly<Record<string, unknown>>;
  return [
    {
      name: 'has a name by which it is found',
      run: () => {
        assert(
          isPluginName(name) || name.startsWith('@adakit/'),
          `${name} is neither adakit-optimizer-NAME nor @scope/adakit-optimizer-NAME`,
        );
      },
    },
    {
      name: 'has the keyword adakit-optimizer',
      run: () => {
        assert(Array.isArray(keywords) && keywords.includes('adakit-optimizer'), 'keywords lacks it');
      },
    },
    {
      name: 'declares its optimizers and their papers',
      run: () => {
        assert(adakit !== undefined, 'package.json has no field adakit');
        for (const [rule, { paper }] of Object.entries(optimizers)) assert(paper, `${rule} has no paper`);
      },
    },
    {
      name: 'says its license and where its source is',
      run: () => {
        assert(license && repository, 'license or repository is missing in package.json');
      },
    },
    {
      name: 'depends on @adakit/core',
      run: () => {
        assert('@adakit/core' in { ...(dependencies ?? {}), ...(peerDependencies ?? {}) }, 'it does not');
      },
    },
  ];
}

/** That what package.json says of an optimizer holds. */
function manifestChecks({ folder, optimizers }: PluginPackage, name: string, plugin: OptimizerPlugin): Check[] {
  const { settings = {}, references = [] } = optimizers[name];
  return [
    {
      name: 'is declared in package.json by its name',
      run: () => {
        assert(name === plugin.optimizerName, `adakit.optimizers has ${name}, but the module ${plugin.optimizerName}`);
      },
    },
    {
      name: 'has the recorded runs that package.json names',
      run: () => {
        const missing = references.filter((file) => !existsSync(join(folder, file)));
        assert(missing.length === 0, `there is no ${missing.join(', ')}`);
      },
    },
    {
      name: 'takes the settings that package.json recommends',
      run: () => {
        for (const values of Object.values(settings)) plugin.load({ ...requiredOptions(plugin, settings), ...values });
      },
    },
  ];
}

async function results(checks: readonly Check[], onCheck?: (name: string) => void): Promise<CheckResult[]> {
  const done: CheckResult[] = [];
  for (const { name, run } of checks) {
    onCheck?.(name);
    try {
      await run();
      done.push({ name, ok: true });
    } catch (error) {
      done.push({ name, ok: false, message: error instanceof Error ? error.message : String(error) });
    }
  }
  return done;
}
