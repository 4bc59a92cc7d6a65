import type { Command } from 'commander';

/** What `adakit verify-plugin` has to be told. */
export interface VerifyPluginOptions {
  readonly json?: true;
}

/** Registers `adakit verify-plugin`. */
export function addVerifyPluginCommand(program: Command): void {
  program
    .command('verify-plugin')
    .summary("does an optimizer's package pass the conformance kit?")
    .description(
      'Runs the checks that every optimizer has to pass, and compares it with its recorded runs, on every device that is ' +
        'installed where the package is, or comes with this command; needs no test framework. The last line is a badge for a README. Exit code 1 when a check fails.',
    )
    .argument('<place>', 'the folder of a package, built, or the name of one that is installed')
    .option('--json', 'print as JSON; its field badge is what shields.io reads')
    .addHelpText(
      'after',
      '\nExamples:\n' +
        '  adakit verify-plugin .\n' +
        '  adakit verify-plugin adakit-optimizer-mine\n' +
        '  adakit verify-plugin . --json | jq .badge > badge.json',
    )
    .action(async (place: string, options: VerifyPluginOptions) => {
      const { verify } = await import('./run.js');
      await verify(place, options);
    });
}
