import type { Command } from 'commander';
import { addBenchCommand } from './bench/command.js';
import { addCheckCommand } from './check/command.js';
import { addCompareCommand } from './compare/command.js';
import { addCompletionCommand } from './completion/command.js';
import { addDoctorCommand } from './doctor/command.js';
import { addExportCommand } from './export/command.js';
import { addGradcheckCommand } from './gradcheck/command.js';
import { addHelpCommand } from './help-command.js';
import { addInspectCommand } from './inspect/command.js';
import { addLandscapeCommand } from './landscape/command.js';
import { addLrFindCommand } from './lr-find/command.js';
import { addOptimizersCommand } from './optimizers/command.js';
import { addRecordCommand } from './record/command.js';
import { addReplayCommand } from './replay/command.js';
import { addStateCommand } from './state/command.js';
import { addTrainCommand } from './train/command.js';
import { addVerifyPluginCommand } from './verify-plugin/command.js';

/**
 * Adds all commands, in the order in which help shows them. What they run is loaded when they are run, for help and completion to
 * be there at once: start.test.ts.
 */
export function addCommands(program: Command): void {
  addTrainCommand(program);
  addLrFindCommand(program);
  addCompareCommand(program);
  addBenchCommand(program);
  addExportCommand(program);
  addOptimizersCommand(program);
  addLandscapeCommand(program);
  addDoctorCommand(program);
  addCheckCommand(program);
  addGradcheckCommand(program);
  addReplayCommand(program);
  addInspectCommand(program);
  addStateCommand(program);
  addVerifyPluginCommand(program);
  addRecordCommand(program);
  addCompletionCommand(program);
  addHelpCommand(program);
}
