export { replayFiles, type FileReport } from './replay/command.js';
